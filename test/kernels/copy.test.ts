import { describe, expect, test } from "vitest";
import { copy as kernel } from "../../kernels/copy.wgsl.js";
import { cast, permute, repeatRows, slice, toNCHW, toNHWC } from "../../src/tensor/ops/copy.js";
import { runStream } from "../../src/tensor/ops/streams.js";
import { rounded } from "../cases/data.js";
import { numbers, permuteCases, permuteReference } from "../cases/movement.js";
import { floatsAroundHalves } from "../cases/halves.js";
import * as gpu from "../support/gpu.js";

/** Numbers are moved, not computed. */
const exact: gpu.Tolerance = { relative: 0 };

describe("copy", () => {
  gpu.checkLeaks();

  for (const item of permuteCases)
    for (const dtype of gpu.DTYPES)
      test(`permute: ${item.name} ${dtype}`, async () => {
        const x = rounded(numbers(item.shape), dtype);
        await gpu.withTensors(async (make) => {
          const y = permute(make(x, item.shape, dtype), item.axes);
          expect(y.shape).toEqual(item.axes.map((axis) => item.shape[axis]));
          gpu.expectClose("permute", await gpu.take(y), gpu.want(permuteReference(item, x), x.length), exact);
        });
      });

  test("toNHWC and toNCHW are inverse", async () => {
    await gpu.withTensors(async (make) => {
      const values = numbers([2, 3, 4, 5]);
      const inner = toNHWC(make(values, [2, 3, 4, 5], "float32"));
      expect(inner.shape).toEqual([2, 4, 5, 3]);
      expect(await gpu.take(toNCHW(inner))).toEqual(values);
      inner.dispose();
    });
  });

  for (const dtype of gpu.DTYPES)
    test(`slice takes a part of any axis ${dtype}`, async () => {
      const shape = [3, 5, 7];
      const x = rounded(numbers(shape), dtype);
      await gpu.withTensors(async (make) => {
        const tensor = make(x, shape, dtype);
        for (let axis = 0; axis < 3; axis++)
          for (const [start, count] of [
            [0, shape[axis]],
            [1, 2],
            [shape[axis] - 1, 1],
            [2, 0],
          ]) {
            const part = slice(tensor, axis, start, count);
            const inner = shape.slice(axis + 1).reduce((a, b) => a * b, 1);
            const wanted = x.filter((_, i) => {
              const at = Math.floor(i / inner) % shape[axis];
              return at >= start && at < start + count;
            });
            expect(part.shape).toEqual(shape.map((n, i) => (i === axis ? count : n)));
            expect(await gpu.take(part)).toEqual(wanted);
          }
      });
    });

  test("cast rounds to nearest, and widens exactly", async () => {
    const x = numbers([1003]);
    await gpu.withTensors(async (make) => {
      const half = cast(make(x, [17, 59], "float32"), "float16");
      expect(half.dtype).toBe("float16");
      expect(half.shape).toEqual([17, 59]);
      const wide = cast(half, "float32");
      // Rounding is the driver's: to nearest, or toward zero as WGSL also allows.
      const wanted = gpu.want((i) => x[i], 1003);
      gpu.expectClose("narrowed", await half.data(), wanted, { relative: gpu.STORAGE.float16, absolute: 2 ** -25 });
      expect(await gpu.take(wide)).toEqual(await gpu.take(half));
    });
  });

  test("bits16 rounds to nearest even: every half, ties, subnormal and too large ones, NaN", async () => {
    const { x, wanted } = floatsAroundHalves();
    await gpu.withTensors(async (make) => {
      const [from, to] = [make(x, [x.length], "float32"), make(new Float32Array(x.length), [x.length], "float16")];
      runStream(from.device, x.length / 4, {
        kernel,
        variant: { from: "f32", to: "bits16", walk: "rows" },
        values: {
          size: x.length,
          offset: 0,
          n0: 1,
          n1: 1,
          n2: 1,
          n3: x.length,
          s0: 0,
          s1: 0,
          s2: 0,
          s3: 1,
          y_row: 0,
          y_start: 0,
        },
        buffers: [from, to],
      });
      const got = await to.data();
      expect(got.findIndex((value, i) => !Object.is(value, wanted[i]))).toBe(-1);
    });
  });

  test("repeatRows repeats each row in place", async () => {
    await gpu.withTensors(async (make) => {
      const x = make(Float32Array.of(1, 2, 3, 4, 5, 6), [2, 3], "float32");
      const y = repeatRows(x, 2);
      expect(y.shape).toEqual([4, 3]);
      expect(Array.from(await gpu.take(y))).toEqual([1, 2, 3, 1, 2, 3, 4, 5, 6, 4, 5, 6]);
      const flat = repeatRows(make(Float32Array.of(7, 8), [2], "float16"), 3);
      expect(Array.from(await gpu.take(flat))).toEqual([7, 7, 7, 8, 8, 8]);
    });
  });

  test("errors say what was expected and what was got", async () => {
    await gpu.withTensors(async (make) => {
      const x = make(new Float32Array(6), [2, 3], "float32");
      expect(() => permute(x, [0, 0])).toThrow("permute: [0, 0] is not an order of the 2 axes of [2, 3]");
      expect(() => permute(x, [0])).toThrow(/permute: \[0\]/);
      expect(() => slice(x, 1, 2, 2)).toThrow("slice: 2..4 of axis 1 is outside [2, 3]");
      expect(() => slice(x, 1, -1, 2)).toThrow("slice: -1..1 of axis 1 is outside [2, 3]");
      expect(() => slice(x, 2, 0, 1)).toThrow("slice: 0..1 of axis 2 is outside [2, 3]");
      expect(() => cast(x, "int32")).toThrow("copy: needs a floating-point tensor, got int32");
      const five = make(new Float32Array(6), [1, 1, 1, 2, 3], "float32");
      expect(() => permute(five, [4, 3, 2, 1, 0])).toThrow(/copy: takes at most 4 axes/);
    });
  });
});
