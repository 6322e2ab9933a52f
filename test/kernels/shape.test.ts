import { describe, expect, test } from "vitest";
import { concat, upsampleNearest } from "../../src/tensor/ops/shape.js";
import { rounded } from "../cases/data.js";
import { concatCases, concatReference, numbers, upsampleCases, upsampleReference } from "../cases/movement.js";
import * as gpu from "../support/gpu.js";

/** Numbers are moved, not computed. */
const exact: gpu.Tolerance = { relative: 0 };
const sizeOf = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

describe("concat", () => {
  gpu.checkLeaks();

  for (const item of concatCases)
    for (const dtype of gpu.DTYPES)
      test(`${item.name} at ${item.axis} ${dtype}`, async () => {
        const x = rounded(numbers(item.a), dtype);
        const y = rounded(numbers(item.b), dtype);
        await gpu.withTensors(async (make) => {
          const both = concat(make(x, item.a, dtype), make(y, item.b, dtype), item.axis);
          const wanted = gpu.want(concatReference(item, x, y), x.length + y.length);
          gpu.expectClose("concat", await gpu.take(both), wanted, exact);
        });
      });

  test("errors say what was expected and what was got", async () => {
    await gpu.withTensors(async (make) => {
      const x = make(new Float32Array(6), [2, 3], "float32");
      const y = make(new Float32Array(6), [3, 2], "float32");
      const half = make(new Float32Array(6), [2, 3], "float16");
      expect(() => concat(x, y, 0)).toThrow("concat: b, but for the joined axis, must be [3, 3], got [3, 2]");
      expect(() => concat(x, make(new Float32Array(2), [2], "float32"), 1)).toThrow(/concat: b.*got \[2\]/);
      expect(() => concat(x, x, 2)).toThrow("concat: axis 2 is not one of [2, 3]");
      expect(() => concat(x, x, -3)).toThrow("concat: axis -3 is not one of [2, 3]");
      expect(() => concat(x, half, 0)).toThrow(/concat: the dtypes differ/);
    });
  });
});

describe("upsampleNearest", () => {
  gpu.checkLeaks();

  for (const item of upsampleCases)
    for (const dtype of gpu.DTYPES)
      test(`${item.name} ${dtype}`, async () => {
        const x = rounded(numbers(item.shape), dtype);
        await gpu.withTensors(async (make) => {
          const y = upsampleNearest(make(x, item.shape, dtype), item.size);
          const shape = [item.shape[0], ...item.size, item.shape[3]];
          expect(y.shape).toEqual(shape);
          gpu.expectClose("upsample", await gpu.take(y), gpu.want(upsampleReference(item, x), sizeOf(shape)), exact);
        });
      });

  test("in parts of each image, where no binding holds all of them", async () => {
    const item = upsampleCases.find(({ name }) => name.includes("level 3"))!;
    for (const dtype of gpu.DTYPES) {
      const x = rounded(numbers(item.shape), dtype);
      const shape = [item.shape[0], ...item.size, item.shape[3]];
      await gpu.withTensors(async (make) => {
        const whole = make(x, item.shape, dtype);
        for (const share of [2, 8]) {
          const bytes = (sizeOf(shape) * whole.itemSize) / share;
          const y = await gpu.withLimit(bytes, () => Promise.resolve(upsampleNearest(whole, item.size)));
          gpu.expectClose(`${share}`, await gpu.take(y), gpu.want(upsampleReference(item, x), sizeOf(shape)), exact);
        }
      });
    }
  });

  test("takes four axes and positive sizes", async () => {
    await gpu.withTensors(async (make) => {
      const x = make(new Float32Array(6), [2, 3], "float32");
      expect(() => upsampleNearest(x, [2, 2])).toThrow(/upsampleNearest: .*\[2, 3\]/);
      expect(() => upsampleNearest(make(new Float32Array(6), [1, 2, 3, 1], "float32"), [0, 2])).toThrow(
        /upsampleNearest: .*0/,
      );
    });
  });
});
