import { describe, expect, test } from "vitest";
import { flashSizes, type FlashTile } from "../../kernels/flash_attention.wgsl.js";
import { flashMatrixSizes } from "../../kernels/flash_attention_matrix.wgsl.js";
import type { Operand } from "../../src/tensor/columns.js";
import type { Run } from "../../src/tensor/device.js";
import { attention, type AttentionOptions } from "../../src/tensor/ops/attention.js";
import { flashTile, type AnyFlashTile } from "../../src/tensor/ops/flash_attention.js";
import type { Tile } from "../../src/tensor/ops/tiling.js";
import {
  attentionCases,
  attentionData,
  attentionReference,
  type AttentionCase,
  type AttentionData,
} from "../cases/attention.js";
import { Random, type FloatType } from "../cases/data.js";
import { sideBySide } from "../support/columns.js";
import * as gpu from "../support/gpu.js";

type Way = AttentionOptions["by"];

/**
 * A weight is exp(score - top): an error of the score is a relative error of the weight. Scores are sums of headSize
 * products of size std², so they are off by sqrt(headSize) ulp of their own size; exp may add 4 ulp; the sum over keys
 * walks at random and its parts are at most max |v|.
 */
const tolerance = (dtype: FloatType, { headSize, keys, std = 1, scale }: AttentionCase): gpu.Tolerance => {
  const score = 4 * std * std * Math.sqrt(headSize) * (scale ?? 1 / Math.sqrt(headSize));
  return {
    relative: gpu.STORAGE[dtype],
    ofScale: gpu.EPSILON * (4 + score * Math.sqrt(headSize) + Math.sqrt(keys)),
    absolute: dtype === "float16" ? 2 ** -25 : 0,
  };
};

/** Besides the default: the flash kernel, three passes, and the plain kernel where its repeated scores stay below 0.2 GFLOP. */
const waysOf = ({ headSize, flops }: AttentionCase): Way[] => [
  undefined,
  ...(headSize % 4 === 0 ? (["scores"] as const) : []),
  ...(headSize % 4 === 0 && headSize <= 164 ? (["flash"] as const) : []),
  ...(flops * headSize < 2e8 ? (["plain"] as const) : []),
];

/** A tile that lavapipe compiles in a second; of those for GPUs, 15 times as large, the same text in a minute. */
const smallFlash = (headSize: number): FlashTile => ({ rows: 4, keys: 1, columns: headSize > 80 ? 4 : 2, groups: 8 });

/** @param inPlace whether q, k and v are columns of wider matrices: of one, where there are as many queries as keys */
async function run(
  item: AttentionCase,
  data: AttentionData,
  dtype: FloatType,
  by: Way,
  inPlace = false,
  tile?: Tile,
  flash: AnyFlashTile = smallFlash(item.headSize),
): Promise<Float32Array> {
  const { batch, queries, keys, heads, headSize, causal, scale } = item;
  const width = heads * headSize;
  return gpu.withTensors(async (make) => {
    let [q, k, v]: Operand[] = [];
    if (inPlace && queries === keys)
      [q, v, k] = sideBySide([data.q, data.v, data.k], [batch, keys, width], dtype, make);
    else if (inPlace) {
      [q] = sideBySide([data.q], [batch, queries, width], dtype, make);
      [v, k] = sideBySide([data.v, data.k], [batch, keys, width], dtype, make);
    } else {
      q = make(data.q, [batch, queries, width], dtype);
      [k, v] = [data.k, data.v].map((values) => make(values, [batch, keys, width], dtype));
    }
    return gpu.take(attention(q, k, v, { heads, causal, scale, by, tile, flashTile: flash }));
  });
}

async function check(item: AttentionCase, dtype: FloatType, ways: Way[], most: number): Promise<void> {
  const data = gpu.roundAll(attentionData(item), dtype);
  const wanted = gpu.want(attentionReference(item, data), data.q.length, most);
  for (const by of ways) {
    const apart = await run(item, data, dtype, by);
    gpu.expectClose(by ?? "default", apart, wanted, tolerance(dtype, item));
    if ((item.heads * item.headSize) % 4 === 0)
      expect(await run(item, data, dtype, by, true), `${by}, operands in place`).toEqual(apart);
  }
}

/** Queries that fill no tile. */
const FEW_QUERIES = { name: "", batch: 2, queries: 53, heads: 2, flops: 0 };

describe("attention", () => {
  gpu.checkLeaks();

  for (const item of attentionCases)
    for (const dtype of gpu.DTYPES)
      test(`${item.name}${item.causal ? ", causal" : ""} ${dtype}`, () =>
        check(item, dtype, waysOf(item), item.flops < 5e6 ? Infinity : 512));

  for (const dtype of gpu.DTYPES)
    test(`every kind of tile gives what the plain kernel gives, ${dtype}`, async () => {
      const item: AttentionCase = { name: "", batch: 2, queries: 45, keys: 77, heads: 2, headSize: 40, flops: 0 };
      const data = gpu.roundAll(attentionData(item), dtype);
      const wanted = gpu.want(attentionReference(item, data), data.q.length, 2048);
      // A run along the inner axis is 10 quads of a head or 20 of keys: not the 4 at a time of the workgroup tile; and weights are no halves.
      for (const tile of await gpu.kindsOfTile(dtype, item.keys))
        if (tile.by !== "workgroup" && tile.by !== "matrix" && !tile.panels) {
          const apart = await run(item, data, dtype, "scores", false, tile);
          gpu.expectClose(JSON.stringify(tile), apart, wanted, tolerance(dtype, item));
          expect(await run(item, data, dtype, "scores", true, tile), "operands in place").toEqual(apart);
        }
    });

  for (const dtype of gpu.DTYPES)
    test(`three passes through workgroup memory, ${dtype}`, async () => {
      const item: AttentionCase = { name: "", batch: 2, queries: 45, keys: 77, heads: 2, headSize: 32, flops: 0 };
      const tiles = (await gpu.kindsOfTile(dtype, item.keys)).filter(({ by }) => by === "workgroup");
      expect(tiles.length).toBeGreaterThan(0);
      const data = gpu.roundAll(attentionData(item), dtype);
      const wanted = gpu.want(attentionReference(item, data), data.q.length, 2048);
      for (const tile of tiles)
        gpu.expectClose(
          JSON.stringify(tile),
          await run(item, data, dtype, "scores", false, tile),
          wanted,
          tolerance(dtype, item),
        );
      const large = attentionCases.find(({ headSize }) => headSize === 512)!;
      await gpu.asHardware(() => check(large, dtype, ["scores"], 512));
    });

  for (const dtype of gpu.DTYPES)
    test(`image by image, where no binding holds all, ${dtype}`, async () => {
      const item: AttentionCase = { name: "", batch: 3, queries: 64, keys: 64, heads: 2, headSize: 16, flops: 0 };
      const data = gpu.roundAll(attentionData(item), dtype);
      const wanted = gpu.want(attentionReference(item, data), data.q.length, 2048);
      for (const by of ["plain", "flash", "scores"] as const) {
        // The scores of an image fit, q, k and v side by side do not.
        const got = await gpu.withLimit(36 * 1024, () => run(item, data, dtype, by, true));
        gpu.expectClose(by, got, wanted, tolerance(dtype, item));
      }
    });

  test("few queries at a time, where no binding holds the scores of more", async () => {
    const item: AttentionCase = { name: "", batch: 1, queries: 45, keys: 77, heads: 8, headSize: 4, flops: 0 };
    const data = attentionData(item);
    const wanted = gpu.want(attentionReference(item, data), data.q.length);
    // Of 32 queries they are 86 KB.
    const got = await gpu.withLimit(30 * 1024, () => run(item, data, "float32", "scores"));
    gpu.expectClose("scores", got, wanted, tolerance("float32", item));
  });

  test("no thread of three passes has more columns than a row: it would store into the next one", async () => {
    const of = { isSoftware: true, broadcastLanes: 0, quadSwaps: false, cheapTextures: true };
    const kinds = { registers: of, swap: { ...of, quadSwaps: true }, broadcast: { ...of, broadcastLanes: 8 } };
    // Work that is worth the tiles of long products.
    const [queries, headSize] = [13000, 512];
    await gpu.withTensors(async (make) => {
      const q = make(new Float32Array(queries * headSize), [1, queries, headSize], "float32");
      for (const [by, kind] of Object.entries(kinds))
        for (const keys of [4, 9, 12]) {
          const k = make(new Float32Array(keys * headSize), [1, keys, headSize], "float32");
          const across: number[] = [];
          // Nothing runs: these tiles take seconds to compile.
          const run = ({ variant, values }: Run<unknown>): void => {
            const { tileN4 } = variant as Partial<Tile>;
            if (tileN4) across.push(tileN4 / ((across.length % 2 === 0 ? values.width : headSize) / 4));
          };
          await gpu.pretending({ ...kind, run }, async () => attention(q, k, k, { heads: 1, by: "scores" }).dispose());
          expect(across.length, by).toBeGreaterThan(0);
          expect(Math.max(...across), `${by}, ${keys} keys`).toBeLessThanOrEqual(1);
        }
    });
  });

  test("full self-attention of 4096 tokens, one head of 40, 64 random elements", async () => {
    const item = attentionCases.find(({ name }) => name.startsWith("self-attention, level 1"))!;
    await check({ ...item, queries: 4096 }, "float16", [undefined], 64);
  });

  test("queries are split over dispatches when a layer is long", async () => {
    await gpu.pretending({ flopsBudget: 20_000 }, async () => {
      const sizes = { batch: 2, queries: 150, keys: 10, heads: 2 };
      await check({ ...attentionCases[4], ...sizes, headSize: 4 }, "float32", ["plain", "flash"], Infinity);
      await check({ ...attentionCases[4], ...sizes, headSize: 3 }, "float16", ["plain"], Infinity);
    });
  });

  for (const [headSize, tile] of [
    [12, { rows: 8, keys: 3, columns: 2, groups: 3 }], // the last quad of columns twice, loads in several turns
    [16, { rows: 4, keys: 2, columns: 4, groups: 5 }], // a thread has all columns
  ] as const)
    for (const causal of [false, true])
      for (const dtype of gpu.DTYPES)
        test(`flash attention by tiles of ${Object.values(tile).join()}${causal ? ", causal" : ""}, ${dtype}`, async () => {
          const item: AttentionCase = { ...FEW_QUERIES, keys: 45, headSize, causal };
          const data = gpu.roundAll(attentionData(item), dtype);
          const wanted = gpu.want(attentionReference(item, data), data.q.length);
          gpu.expectClose(
            "flash",
            await run(item, data, dtype, "flash", false, undefined, tile),
            wanted,
            tolerance(dtype, item),
          );
        });

  for (const [headSize, rows, keys] of [
    [12, 2, 3], // keys that do not fill turns, loads of the lanes that do not either
    [16, 4, 2],
    [40, 1, 4],
    [80, 2, 1],
  ])
    for (const causal of [false, true])
      for (const dtype of gpu.DTYPES)
        test(`flash attention by lanes, ${headSize}, ${rows} x ${keys}${causal ? ", causal" : ""}, ${dtype}`, async (context) => {
          const { streamLanes, quadSwaps, broadcastLanes } = await gpu.testDevice();
          if (!quadSwaps && broadcastLanes === 0) context.skip("the size of the adapter's subgroups is not known");
          const item: AttentionCase = { ...FEW_QUERIES, keys: 77, headSize, causal };
          const data = gpu.roundAll(attentionData(item), dtype);
          const wanted = gpu.want(attentionReference(item, data), data.q.length);
          const tile = { lanes: streamLanes, rows, keys };
          const apart = await run(item, data, dtype, "flash", false, undefined, tile);
          gpu.expectClose("flash", apart, wanted, tolerance(dtype, item));
          expect(await run(item, data, dtype, "flash", true, undefined, tile), "operands in place").toEqual(apart);
        });

  for (const [name, sizes] of [
    ["a head that is no whole matrix", { headSize: 12 }],
    ["causal", { headSize: 8, causal: true }],
    ["scores that pass the first tile's by more than the slack", { headSize: 8, std: 20 }],
  ] as const)
    test(`flash attention by matrices, ${name}`, async (context) => {
      const { productUnits } = await gpu.testDevice();
      if (!productUnits.matrix) context.skip("the adapter multiplies no matrices");
      const item: AttentionCase = { ...FEW_QUERIES, keys: 77, ...sizes };
      const data = gpu.roundAll(attentionData(item), "float16");
      const wanted = gpu.want(attentionReference(item, data), data.q.length);
      const { ofScale = 0, ...others } = tolerance("float16", item);
      // Weights are halves, each off by 2^-12 of itself, and so is their sum.
      const withHalves = { ...others, ofScale: ofScale + 2 ** -11 };
      for (const [subgroups, blocks] of [
        [2, 1],
        [1, 2],
      ]) {
        const tile = { subgroups, blocks, keys: 32 };
        const apart = await run(item, data, "float16", "flash", false, undefined, tile);
        gpu.expectClose(JSON.stringify(tile), apart, wanted, withHalves);
        expect(await run(item, data, "float16", "flash", true, undefined, tile), "operands in place").toEqual(apart);
      }
    });

  test("tiles of the flash kernels fit the device: its threads and its workgroup memory", () => {
    for (const maxComputeWorkgroupStorageSize of [16384, 32768, 49152])
      for (let headSize = 4; headSize <= 160; headSize += 4)
        for (const queries of [1, 77, 4096])
          for (const side of [0, 8, 16]) {
            const limits = {
              maxComputeWorkgroupStorageSize,
              maxComputeInvocationsPerWorkgroup: 256,
            } as GPUSupportedLimits;
            const matrix = side > 0 ? { m: side, n: side, k: side } : null;
            const productUnits = { matrix, lanes: matrix ? 32 : 0 };
            const tile = flashTile({ limits, productUnits }, "f16", { headSize, queries, keys: queries, slots: 16 });
            expect("blocks" in tile || matrix === null || maxComputeWorkgroupStorageSize < 49152).toBe(true);
            const { bytes, threads } =
              "blocks" in tile
                ? flashMatrixSizes({ headSize, matrix: matrix!, lanes: 32, ...tile })
                : flashSizes(tile, headSize);
            expect(bytes, `heads of ${headSize}`).toBeLessThanOrEqual(maxComputeWorkgroupStorageSize);
            expect(threads).toBeLessThanOrEqual(256);
          }
  });

  test("GPUs take the flash kernel for heads of up to 160, CPU adapters their own for small ones and three passes for others", async () => {
    const ran = (headSize: number): Promise<string[]> =>
      gpu.withTensors(async (make) => {
        const x = make(new Float32Array(2 * headSize), [1, 2, headSize], "float32");
        return gpu.kernelsRun(() => attention(x, x, x, { heads: 1 }).dispose());
      });
    const passes = ["attention scores", "softmax", "attention values"];
    const { broadcastLanes, quadSwaps, isSoftware } = await gpu.testDevice();
    if (isSoftware && (broadcastLanes > 0 || quadSwaps)) expect(await ran(32)).toEqual(["flash attention by lanes"]);
    if (isSoftware) expect(await ran(84)).toEqual(passes);
    await gpu.asHardware(async () => {
      expect(await ran(8)).toEqual(["flash attention"]);
      expect(await ran(512)).toEqual(passes);
      expect(await ran(6)).toEqual(["attention"]);
    });
  });

  test("large heads in float16 keep scores that a half cannot hold", async () => {
    // q·k reaches 512 * 16 * 16 = 131,072 before the scale of 0.004.
    const random = new Random(9);
    const item: AttentionCase = {
      name: "",
      batch: 1,
      queries: 5,
      keys: 8,
      heads: 1,
      headSize: 512,
      scale: 0.004,
      flops: 0,
    };
    const sign = (): number => (random.next() < 0.5 ? -16 : 16);
    const q = Float32Array.from({ length: 5 * 512 }, sign);
    const k = Float32Array.from({ length: 8 * 512 }, (_, i) => (i < 5 * 512 ? q[i] : sign()));
    const data = gpu.roundAll({ q, k, v: random.normal(8 * 512) }, "float16");
    const wanted = gpu.want(attentionReference(item, data), 5 * 512);
    gpu.expectClose("scores", await run(item, data, "float16", "scores"), wanted, tolerance("float16", item));
  });

  test("errors say what was expected and what was got", async () => {
    await gpu.withTensors(async (make) => {
      const x = make(new Float32Array(24), [1, 4, 6], "float32");
      const y = make(new Float32Array(24), [1, 3, 8], "float32");
      const flat = make(new Float32Array(24), [4, 6], "float32");
      const half = make(new Float32Array(24), [1, 4, 6], "float16");
      expect(() => attention(x, x, x, { heads: 4 })).toThrow(
        /attention: takes q, k, v .* with 4 heads, got \[1, 4, 6\]/,
      );
      expect(() => attention(x, x, x, { heads: 0 })).toThrow(/with 0 heads/);
      expect(() => attention(x, y, y, { heads: 2 })).toThrow(/got \[1, 4, 6\], \[1, 3, 8\] and \[1, 3, 8\]/);
      expect(() => attention(x, x, y, { heads: 2 })).toThrow(/attention: takes/);
      expect(() => attention(flat, flat, flat, { heads: 2 })).toThrow(/got \[4, 6\]/);
      expect(() => attention(x, half, half, { heads: 2 })).toThrow(/attention: the dtypes differ/);
    });
  });
});
