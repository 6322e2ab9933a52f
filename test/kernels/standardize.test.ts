import { describe, expect, test } from "vitest";
import { standardize } from "../../src/tensor/ops/standardize.js";
import { rounded } from "../cases/data.js";
import { numbers } from "../cases/movement.js";
import * as gpu from "../support/gpu.js";

const SHAPES = [
  [3, 32],
  [2, 5, 7], // rows that begin inside a vec4
  [1, 1],
];

describe("standardize", () => {
  gpu.checkLeaks();

  for (const shape of SHAPES)
    for (const dtype of gpu.DTYPES)
      for (const back of [false, true])
        test(`[${shape.join(", ")}] ${dtype}${back ? ", back" : ""}`, async () => {
          const width = shape.at(-1)!;
          const x = rounded(numbers(shape), dtype);
          const mean = rounded(numbers([1, width]), dtype);
          const std = rounded(
            mean.map((v) => 0.25 + v * v),
            dtype,
          );
          await gpu.withTensors(async (make) => {
            const moments = { mean: make(mean, [1, width], dtype), std: make(std, [1, width], dtype) };
            const got = standardize(make(x, shape, dtype), moments, { back });
            const wanted = gpu.want((i) => {
              const c = i % width;
              return back ? x[i] * std[c] + mean[c] : (x[i] - mean[c]) / std[c];
            }, x.length);
            // A difference or a sum, and a quotient of up to 2.5 ulp, in float32, then the storage's rounding.
            const tolerance = { relative: gpu.STORAGE[dtype] + 4 * gpu.EPSILON, ofScale: 4 * gpu.EPSILON };
            gpu.expectClose("moved", await gpu.take(got), wanted, tolerance);
          });
        });

  test("the moments are one row", async () => {
    await gpu.withTensors(async (make) => {
      const x = make(new Float32Array(8), [2, 4], "float32");
      expect(() => standardize(x, { mean: x, std: x })).toThrow("standardize: mean must be [1, 4], got [2, 4]");
    });
  });
});
