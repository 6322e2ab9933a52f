import { describe, expect, test } from "vitest";
import { blend } from "../../src/tensor/ops/blend.js";
import { softClamp } from "../../src/tensor/ops/soft_clamp.js";
import { rounded } from "../cases/data.js";
import { numbers } from "../cases/movement.js";
import * as gpu from "../support/gpu.js";

const sizeOf = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

/** diffusers' blend_v / blend_h at one element of the result, in double precision. */
function reference(item: Case, a: Float32Array, b: Float32Array): gpu.Wanted {
  const { axis, extent } = item;
  const inner = sizeOf(item.b.slice(axis + 1));
  const [countA, countB] = [item.a[axis], item.b[axis]];
  const most = Math.min(extent, countA, countB);
  return gpu.want((e) => {
    const row = Math.floor(e / inner);
    const n = row % countB;
    if (n >= most) return b[e];
    const from = (Math.floor(row / countB) * countA + countA - most + n) * inner + (e % inner);
    return a[from] * (1 - n / most) + b[e] * (n / most);
  }, b.length);
}

interface Case {
  a: readonly number[];
  b: readonly number[];
  axis: number;
  extent: number;
}

const CASES: Case[] = [
  { a: [2, 3, 8, 5], b: [2, 3, 8, 5], axis: 2, extent: 3 },
  { a: [2, 3, 5, 8], b: [2, 3, 5, 7], axis: 3, extent: 4 },
  { a: [1, 3, 4, 7], b: [1, 3, 2, 7], axis: 2, extent: 16 }, // more than b has
  { a: [1, 2, 3, 3], b: [1, 2, 3, 3], axis: 3, extent: 0 },
  { a: [1, 3, 64, 64], b: [1, 3, 64, 33], axis: 3, extent: 16 },
];

describe("blend", () => {
  gpu.checkLeaks();

  for (const item of CASES)
    for (const dtype of gpu.DTYPES)
      test(`[${item.b.join(", ")}] along ${item.axis} over ${item.extent} ${dtype}`, async () => {
        const [a, b] = [rounded(numbers(item.a), dtype), rounded(numbers(item.b), dtype).map((x) => 1 - x)];
        const wanted = reference(item, a, rounded(b, dtype));
        await gpu.withTensors(async (make) => {
          const y = blend(make(a, item.a, dtype), make(rounded(b, dtype), item.b, dtype), item.axis, item.extent);
          // Two products and a sum in float32, then the storage's rounding.
          const tolerance = { relative: gpu.STORAGE[dtype], ofScale: 4 * gpu.EPSILON };
          gpu.expectClose("blend", await gpu.take(y), wanted, tolerance);
        });
      });

  test("errors say what was expected and what was got", async () => {
    await gpu.withTensors(async (make) => {
      const x = make(new Float32Array(6), [2, 3], "float32");
      expect(() => blend(x, make(new Float32Array(6), [3, 2], "float32"), 0, 1)).toThrow(
        "blend: a, but for the blended axis, must be [2, 2], got [2, 3]",
      );
      expect(() => blend(x, x, 2, 1)).toThrow("blend: axis 2 is not one of [2, 3]");
      expect(() => blend(x, x, 1, -1)).toThrow("blend: the extent must be a whole number, got -1");
    });
  });
});

describe("softClamp", () => {
  gpu.checkLeaks();

  for (const dtype of gpu.DTYPES)
    test(dtype, async () => {
      const x = rounded(
        Float32Array.from({ length: 203 }, (_, i) => (i - 100) * 0.37),
        dtype,
      );
      x[0] = -3e4; // where exp() overflows
      x[1] = 3e4;
      await gpu.withTensors(async (make) => {
        const y = await gpu.take(softClamp(make(x, [203], dtype), 3));
        const wanted = gpu.want((i) => 3 * Math.tanh(x[i] / 3), x.length);
        // WGSL's tanh inherits the error of sinh / cosh: 2^-11 absolute at worst by the specification, in practice some
        // units in the last place; a wrong formula is off by far more.
        gpu.expectClose("softClamp", y, wanted, { relative: gpu.STORAGE[dtype], absolute: 2e-6 });
      });
    });

  test("refuses a bound that is not positive", async () => {
    await gpu.withTensors(async (make) => {
      const x = make(new Float32Array(4), [4], "float32");
      expect(() => softClamp(x, 0)).toThrow("softClamp: the bound must be positive, got 0");
    });
  });
});
