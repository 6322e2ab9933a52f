import { describe, expect, test } from "vitest";
import { markNonFinite } from "../../src/tensor/ops/non_finite.js";
import { Tensor } from "../../src/tensor/tensor.js";
import * as gpu from "../support/gpu.js";

describe("markNonFinite", () => {
  gpu.checkLeaks();

  for (const dtype of gpu.DTYPES)
    test(`finds one number that is infinite or NaN among many, wherever it is, ${dtype}`, async () => {
      const device = await gpu.testDevice();
      const size = 70_001; // several turns of a thread, and a last quad with one number
      const places = [0, 3, 64, 35_000, size - 1];
      const wrong = [NaN, Infinity, -Infinity];
      const cases = places.flatMap((at) => wrong.map((value) => [at, value] as const));
      const largest = dtype === "float32" ? 3.4e38 : 65504;
      await gpu.withTensors(async (make) => {
        const flags = Tensor.from(new Int32Array(cases.length + 1), [cases.length + 1], { device, dtype: "int32" });
        cases.forEach(([at, value], slot) => {
          const values = new Float32Array(size).fill(-largest);
          values[at] = value;
          markNonFinite(make(values, [size], dtype), flags, slot);
        });
        markNonFinite(make(new Float32Array(size).fill(largest), [size], dtype), flags, cases.length);
        expect(Array.from(await gpu.take(flags))).toEqual([...cases.map(() => 1), 0]);
      });
    });

  test("what lies behind the last number does not count, and a flag stays", async () => {
    const device = await gpu.testDevice();
    const whole = Tensor.from(new Float32Array(4).fill(NaN), [4], { device });
    whole.dispose();
    await gpu.withTensors(async (make) => {
      const flags = Tensor.from(new Int32Array(2), [2], { device, dtype: "int32" });
      const finite = make(new Float32Array([1, 2]), [2], "float32"); // in memory that held NaN
      markNonFinite(finite, flags, 0);
      markNonFinite(make(new Float32Array([NaN]), [1], "float32"), flags, 1);
      markNonFinite(finite, flags, 1);
      expect(Array.from(await gpu.take(flags))).toEqual([0, 1]);
      const few = Tensor.from(new Int32Array(1), [1], { device, dtype: "int32" });
      expect(() => markNonFinite(finite, few, 1)).toThrow("markNonFinite: no flag 1 in Tensor(int32 [1])");
      few.dispose();
    });
  });
});
