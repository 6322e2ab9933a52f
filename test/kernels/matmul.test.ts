import { describe, expect, test } from "vitest";
import { matmul, type MatmulOptions } from "../../src/tensor/ops/matmul.js";
import {
  chooseSlicedTile,
  chooseTile,
  PLAIN,
  type ProductShape,
  type SlicedTile,
  type Tile,
} from "../../src/tensor/ops/tiling.js";
import { Random, type FloatType } from "../cases/data.js";
import {
  columnsOf,
  matmulCases,
  matmulData,
  matmulReference,
  type MatmulCase,
  type MatmulData,
} from "../cases/matmul.js";
import * as gpu from "../support/gpu.js";

/** Rounding of K partial sums walks at random: sqrt(K) steps of one ulp of the sum. Then the activation and storage. */
const tolerance = (dtype: FloatType, k: number): gpu.Tolerance => ({
  relative: gpu.STORAGE[dtype],
  ofScale: gpu.EPSILON * (Math.sqrt(k) + 1),
  absolute: dtype === "float16" ? 2 ** -25 : 0,
});

const TILES: Tile[] = [8, 4, 2, 1].flatMap((tileM) => [2, 1].map((tileN4) => ({ tileM, tileN4 })));
const tilesFor = ({ n, k }: MatmulCase): Tile[] => TILES.filter(({ tileN4 }) => n % (4 * tileN4) === 0 && k % 4 === 0);

/** One case visits every tile, small ones the reference kernel too: each pipeline takes a CPU adapter up to a second. */
const visited = (item: MatmulCase, dtype: FloatType): (Tile | undefined)[] => {
  if (item.flops >= 1e6) return [undefined];
  const everyTile = item.name.startsWith("rows that fill no tile") && dtype === "float32";
  return [undefined, PLAIN, ...(everyTile ? tilesFor(item) : [])];
};

async function run(
  item: MatmulCase,
  data: MatmulData,
  dtype: FloatType,
  tile?: Tile,
  slices?: number,
): Promise<Float32Array> {
  const { m, n, k, activation, gated } = item;
  return gpu.withTensors(async (make) => {
    const options: MatmulOptions = { activation, gated, tile, slices };
    if (data.bias) options.bias = make(data.bias, [n], dtype);
    if (data.residual) options.residual = make(data.residual, [m, n], dtype);
    return gpu.take(matmul(make(data.x, [m, k], dtype), make(data.w, [k, n], dtype), options));
  });
}

describe("matmul", () => {
  gpu.checkLeaks();

  for (const dtype of gpu.DTYPES)
    test(`in parts, where no binding holds all rows, ${dtype}`, async () => {
      const finish = { bias: true, residual: true, activation: "silu" } as const;
      const wide: MatmulCase = { name: "", m: 768, n: 64, k: 32, flops: 0, ...finish };
      for (const item of [
        wide,
        { ...wide, n: 32, k: 64 },
        { ...wide, n: 128, residual: false, gated: "gelu" as const },
      ]) {
        const data = gpu.roundAll(matmulData(item), dtype);
        const wanted = gpu.want(matmulReference(item, data), item.m * columnsOf(item), 4096);
        const got = await gpu.withLimit(32 * 1024, () => run(item, data, dtype));
        gpu.expectClose(JSON.stringify(item), got, wanted, tolerance(dtype, item.k));
      }
      const long = { ...wide, n: 16, k: 64 };
      const data = gpu.roundAll(matmulData(long), dtype);
      const limit = (dtype === "float32" ? 120 : 60) * 1024;
      const got = await gpu.withLimit(limit, () => run(long, data, dtype, { tileM: 4, tileN4: 2 }, 2));
      gpu.expectClose("slices", got, gpu.want(matmulReference(long, data), 768 * 16, 4096), tolerance(dtype, 64));
    });

  for (const item of matmulCases)
    for (const dtype of gpu.DTYPES)
      test(`${item.name} ${dtype}`, async () => {
        const data = gpu.roundAll(matmulData(item), dtype);
        const wanted = gpu.want(
          matmulReference(item, data),
          item.m * columnsOf(item),
          item.flops < 1e6 ? Infinity : 512,
        );
        for (const tile of visited(item, dtype)) {
          const name = tile ? `tile ${JSON.stringify(tile)}` : "default tile";
          gpu.expectClose(name, await run(item, data, dtype, tile), wanted, tolerance(dtype, item.k));
        }
      });

  test("sums above the largest half stay finite when the result is not", async () => {
    const k = 64;
    const item: MatmulCase = { name: "", m: 9, n: 8, k, flops: 0 };
    const x = new Float32Array(9 * k).fill(200);
    // 32 products of 40,000, then 32 of -39,000: the sum climbs to 1.28 million and comes back to 32,000.
    const w = Float32Array.from({ length: k * 8 }, (_, i) => (i < (k * 8) / 2 ? 200 : -195));
    const wanted = gpu.want(matmulReference(item, { x, w }), 72);
    for (const tile of [PLAIN, undefined])
      gpu.expectClose("sum", await run(item, { x, w }, "float16", tile), wanted, { relative: 0 });
  });

  test("rows are split over dispatches when a product is long", async () => {
    const item: MatmulCase = { name: "", m: 301, n: 12, k: 20, bias: true, residual: true, flops: 0 };
    const data = matmulData(item);
    const wanted = gpu.want(matmulReference(item, data), item.m * item.n);
    await gpu.pretending({ flopsBudget: 50_000 }, async () => {
      for (const tile of [PLAIN, ...tilesFor(item)])
        gpu.expectClose("split", await run(item, data, "float32", tile), wanted, tolerance("float32", item.k));
    });
  });

  test("square workgroups, which CPU adapters do not use", async () => {
    const item = matmulCases.find(({ name }) => name.startsWith("several workgroups"))!;
    const data = matmulData(item);
    const wanted = gpu.want(matmulReference(item, data), item.m * item.n);
    await gpu.asHardware(async () => {
      for (const tile of [undefined, { tileM: 4, tileN4: 2 }])
        gpu.expectClose("square", await run(item, data, "float32", tile), wanted, tolerance("float32", item.k));
    });
  });

  for (const dtype of gpu.DTYPES)
    test(`every kind of tile gives what the plain kernel gives, ${dtype}`, async () => {
      const shape: MatmulCase = { name: "", m: 77, n: 136, k: 48, flops: 0, bias: true };
      for (const item of [
        { ...shape, residual: true },
        { ...shape, gated: "gelu" as const },
      ]) {
        const data = gpu.roundAll(matmulData(item), dtype);
        const wanted = gpu.want(matmulReference(item, data), item.m * columnsOf(item), 2048);
        for (const tile of [PLAIN, ...(await gpu.kindsOfTile(dtype, item.n))])
          if (!item.gated || tile.tileN4 !== 1)
            gpu.expectClose(JSON.stringify(tile), await run(item, data, dtype, tile), wanted, tolerance(dtype, item.k));
      }
    });

  test("tiles of subgroup matrices are among them", async ({ skip }) => {
    const { matrix } = (await gpu.testDevice()).productUnits;
    if (!matrix) skip("this adapter has no subgroup matrices of halves: tests of every kind of tile go without");
    expect((await gpu.kindsOfTile("float16", 64)).filter(({ by }) => by === "matrix")).toHaveLength(2);
  });

  for (const dtype of gpu.DTYPES)
    test(`slices of the inner axis are added up, ${dtype}`, async () => {
      // 52 quads: 5 and 3 slices leave a shorter one, and 200 are more than there are quads.
      const shape: MatmulCase = { name: "", m: 77, n: 72, k: 208, flops: 0 };
      for (const [item, tiles] of [
        [{ ...shape, bias: true, residual: true, activation: "silu" }, await gpu.kindsOfTile(dtype, shape.n)],
        [{ ...shape, m: 1, n: 24, residual: true }, [{ tileM: 1, tileN4: 1, flat: true }]],
        [{ ...shape, m: 1, n: 24, bias: true, activation: "gelu" }, [{ tileM: 1, tileN4: 1, flat: true }]],
      ] as [MatmulCase, Tile[]][]) {
        const data = gpu.roundAll(matmulData(item), dtype);
        const wanted = gpu.want(matmulReference(item, data), item.m * item.n, 2048);
        for (const tile of tiles)
          for (const slices of [2, 3, 5, 200]) {
            const name = `${slices} slices, ${JSON.stringify(tile)}`;
            gpu.expectClose(name, await run(item, data, dtype, tile, slices), wanted, tolerance(dtype, item.k));
          }
      }
    });

  test("slices are added up over dispatches too", async () => {
    const item: MatmulCase = { name: "", m: 301, n: 12, k: 20, bias: true, residual: true, flops: 0 };
    const data = matmulData(item);
    const wanted = gpu.want(matmulReference(item, data), item.m * item.n);
    await gpu.pretending({ flopsBudget: 50_000 }, async () => {
      const got = await run(item, data, "float32", { tileM: 2, tileN4: 1 }, 3);
      gpu.expectClose("split", got, wanted, tolerance("float32", item.k));
    });
  });

  test("sums of slices above the largest half stay finite", async () => {
    const k = 64;
    const item: MatmulCase = { name: "", m: 9, n: 8, k, flops: 0 };
    const x = new Float32Array(9 * k).fill(200);
    // One slice is 1.28 million, the other -1.248 million.
    const w = Float32Array.from({ length: k * 8 }, (_, i) => (i < (k * 8) / 2 ? 200 : -195));
    const wanted = gpu.want(matmulReference(item, { x, w }), 72);
    gpu.expectClose("sum", await run(item, { x, w }, "float16", { tileM: 4, tileN4: 2 }, 2), wanted, { relative: 0 });
  });

  for (const dtype of gpu.DTYPES)
    test(`GPUs without matrices get slices where rows are few, ${dtype}`, async () => {
      const kind = { isSoftware: false, productUnits: { matrix: null, lanes: 0 } };
      for (const start of ["time embedding [2, 1280]", "context k", "feed-forward out, 17"]) {
        const item = matmulCases.find(({ name }) => name.startsWith(start))!;
        const data = gpu.roundAll(matmulData(item), dtype);
        const wanted = gpu.want(matmulReference(item, data), item.m * item.n, 512);
        const kernels = await gpu.pretending(kind, async () => {
          gpu.expectClose(item.name, await run(item, data, dtype), wanted, tolerance(dtype, item.k));
          return gpu.withTensors(async (make) => {
            const [x, w] = [make(data.x, [item.m, item.k], dtype), make(data.w, [item.k, item.n], dtype)];
            return gpu.kernelsRun(() => matmul(x, w).dispose());
          });
        });
        expect(kernels).toEqual(["matmul", "merge slices"]);
      }
    });

  test("the choice of tiles and slices on GPUs", async () => {
    const device = await gpu.testDevice();
    const choose = (m: number, n: number, k: number, others: Partial<ProductShape> = {}): SlicedTile =>
      chooseSlicedTile(device, { m, n, k, format: "f32", xBytes: 4 * m * k, wBytes: 4 * k * n, ...others });
    const size = ({ tile, slices }: SlicedTile): unknown[] => {
      const { by, tileM, tileN4, across = 0, down = 0 } = tile;
      return [by, tileM * down, 4 * tileN4 * across, slices];
    };
    const flat = { tileM: 1, tileN4: 1, flat: true };
    const large = { maxComputeWorkgroupStorageSize: 49152, maxComputeInvocationsPerWorkgroup: 1024 };
    const [limits, small] = [large, { ...large, maxComputeWorkgroupStorageSize: 16384 }] as GPUSupportedLimits[];
    const none = { matrix: null, lanes: 0 };
    await gpu.pretending({ isSoftware: false, limits, productUnits: none }, async () => {
      // Long products fill a GPU, others get smaller tiles or slices.
      expect(size(choose(16384, 512, 4608))).toEqual(["workgroup", 64, 128, 1]);
      expect(size(choose(8192, 320, 2880))).toEqual(["workgroup", 128, 160, 1]);
      expect(size(choose(512, 1280, 5120))).toEqual(["workgroup", 64, 128, 8]);
      expect(size(choose(4096, 512, 4608))).toEqual(["workgroup", 64, 128, 4]);
      // Few rows, an inner axis too short to cut, pairs of quads, and no whole quads.
      expect(choose(1, 1280, 1280)).toEqual({ tile: flat, slices: 10 });
      expect(choose(16, 1280, 1280)).toEqual({ tile: { tileM: 2, tileN4: 2, flat: false }, slices: 7 });
      expect(choose(1, 1280, 252)).toEqual({ tile: flat, slices: 1 });
      expect(choose(2, 1280, 1280, { gated: true })).toEqual({ tile: { tileM: 1, tileN4: 2, flat: true }, slices: 1 });
      expect(choose(1, 1281, 1280)).toEqual({ tile: PLAIN, slices: 1 });
      await gpu.pretending({ plainKernels: true }, async () =>
        expect(choose(1, 1280, 1280)).toEqual({ tile: PLAIN, slices: 1 }),
      );
      await gpu.pretending({ limits: small }, async () => {
        expect(size(choose(512, 1280, 5120)), "in 16 KiB").toEqual(["workgroup", 64, 128, 8]);
        expect(size(choose(154, 768, 3072)), "in 16 KiB").toEqual(["workgroup", 64, 128, 16]);
        expect(size(choose(40, 192, 512)), "in 16 KiB").toEqual(["workgroup", 64, 64, 4]);
      });
    });
    const productUnits = { matrix: { m: 16, n: 16, k: 16 }, lanes: 32 };
    await gpu.pretending({ isSoftware: false, limits, productUnits }, async () => {
      expect(size(choose(16384, 512, 4608, { format: "f16" }))).toEqual(["matrix", 128, 128, 1]);
      expect(size(choose(8192, 320, 2880, { format: "f16" }))).toEqual(["matrix", 64, 160, 1]);
      expect(size(choose(512, 1280, 5120, { format: "f16" }))).toEqual(["matrix", 128, 160, 4]);
      expect(size(choose(8192, 2560, 320))).toEqual(["workgroup", 64, 128, 1]);
      expect(size(choose(8192, 320, 2880, { run: 16, format: "f16" })), "short runs").toEqual([
        "workgroup",
        128,
        160,
        1,
      ]);
      await gpu.pretending({ limits: small }, async () =>
        expect(size(choose(8192, 2560, 320, { format: "f16" })), "in 16 KiB").toEqual(["workgroup", 64, 128, 1]),
      );
    });
    const shape = { m: 1, n: 1280, k: 1280, format: "f32", xBytes: 5120, wBytes: 4 * 1280 ** 2 } as const;
    await gpu.pretending({ isSoftware: true }, async () =>
      expect(choose(1, 1280, 1280), "CPU adapters").toEqual({ tile: chooseTile(device, shape), slices: 1 }),
    );
  });

  test("tiles of pairs hold whole pairs, on every kind of adapter", async () => {
    const device = await gpu.testDevice();
    const software = { isSoftware: true, broadcastLanes: 0, quadSwaps: false, cheapTextures: false };
    for (const kind of [
      { isSoftware: false },
      software,
      { ...software, broadcastLanes: 8 },
      { ...software, cheapTextures: true },
      { ...software, cheapTextures: true, quadSwaps: true },
    ])
      await gpu.pretending(kind, async () => {
        for (const [m, n] of [2, 40, 4096].flatMap((rows) =>
          [16, 24, 80, 720, 2560].map((columns) => [rows, columns]),
        )) {
          const { tileN4 } = chooseTile(device, {
            m,
            n,
            k: 320,
            format: "f32",
            gated: true,
            xBytes: 1280 * m,
            wBytes: 1280 * n,
          });
          expect(tileN4 % 2, `tileN4 ${tileN4} for ${m} x ${n}`).toBe(0);
          expect(n).toBeGreaterThanOrEqual(4 * tileN4);
        }
      });
  });

  test("more rows than a grid has workgroups", async () => {
    const rows = 65536 * 8;
    const values = Float32Array.from({ length: 4 * rows }, (_, i) => (i >> 2) + (i & 3));
    const wanted = Float32Array.from(values, (_, i) => values[i - (i & 3)] + 3 - (i & 3)); // columns in reverse
    await gpu.withTensors(async (make) => {
      const reversing = new Float32Array([0, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0, 0]);
      const [x, w] = [make(values, [rows, 4], "float32"), make(reversing, [4, 4], "float32")];
      for (const tile of [
        { tileM: 1, tileN4: 1, flat: false },
        { by: "workgroup" as const, tileM: 1, tileN4: 1, across: 8, down: 8, step: 1 },
      ])
        await gpu.pretending({ flopsBudget: 1e10 }, async () => {
          const got = await gpu.take(matmul(x, w, { tile }));
          const wrong = got.findIndex((value, i) => value !== wanted[i]);
          expect(wrong, JSON.stringify(tile)).toBe(-1);
        });
    });
  });

  test("x may have any number of axes", async () => {
    await gpu.withTensors(async (make) => {
      const random = new Random(1);
      const y = matmul(make(random.normal(24), [2, 3, 4], "float32"), make(random.normal(20), [4, 5], "float32"));
      expect(y.shape).toEqual([2, 3, 5]);
      y.dispose();
    });
  });

  test("errors say what was expected and what was got", async () => {
    await gpu.withTensors(async (make) => {
      const x = make(new Float32Array(6), [2, 3], "float32");
      const w = make(new Float32Array(12), [3, 4], "float32");
      const half = make(new Float32Array(12), [3, 4], "float16");
      expect(() => matmul(x, x)).toThrow("matmul: the inner sizes differ, got [2, 3] and [2, 3]");
      expect(() => matmul(x, w, { bias: x })).toThrow("matmul: bias must be [4], got [2, 3]");
      expect(() => matmul(x, w, { residual: w })).toThrow("matmul: residual must be [2, 4], got [3, 4]");
      expect(() => matmul(x, w, { tile: PLAIN, slices: 2 })).toThrow(
        /matmul: slices take a tiled kernel and no gates, got none/,
      );
      expect(() => matmul(x, half)).toThrow(/matmul: the dtypes differ.*float32 \[2, 3\].*float16 \[3, 4\]/);
    });
  });
});
