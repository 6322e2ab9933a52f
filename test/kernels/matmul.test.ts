import { describe, expect, test } from "vitest";
import { matmul, type MatmulOptions } from "../../src/tensor/ops/matmul.js";
import { PLAIN, type Tile } from "../../src/tensor/ops/tiling.js";
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

async function run(item: MatmulCase, data: MatmulData, dtype: FloatType, tile?: Tile): Promise<Float32Array> {
  const { m, n, k, activation, gated } = item;
  return gpu.withTensors(async (make) => {
    const options: MatmulOptions = { activation, gated, tile };
    if (data.bias) options.bias = make(data.bias, [n], dtype);
    if (data.residual) options.residual = make(data.residual, [m, n], dtype);
    return gpu.take(matmul(make(data.x, [m, k], dtype), make(data.w, [k, n], dtype), options));
  });
}

describe("matmul", () => {
  gpu.checkLeaks();

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
        for (const tile of [PLAIN, ...(await gpu.kindsOfTile())])
          if (!item.gated || tile.tileN4 !== 1)
            gpu.expectClose(JSON.stringify(tile), await run(item, data, dtype, tile), wanted, tolerance(dtype, item.k));
      }
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
      expect(() => matmul(x, half)).toThrow(/matmul: the dtypes differ.*float32 \[2, 3\].*float16 \[3, 4\]/);
    });
  });
});
