import { describe, expect, test } from "vitest";
import { maskedMix } from "../../src/tensor/ops/masked_mix.js";
import { rounded } from "../cases/data.js";
import { numbers } from "../cases/movement.js";
import * as gpu from "../support/gpu.js";

const SHAPES = [
  [1, 4, 8, 8],
  [2, 4, 3, 5], // planes that begin inside a vec4
  [3, 1, 1, 1],
  [2, 5, 100, 70],
];

describe("maskedMix", () => {
  gpu.checkLeaks();

  for (const shape of SHAPES)
    for (const dtype of gpu.DTYPES)
      test(`[${shape.join(", ")}] ${dtype}`, async () => {
        const [batch, channels, height, width] = shape;
        const plane = height * width;
        const a = rounded(numbers(shape), dtype);
        const x = rounded(
          a.map((v) => 1 - 2 * v),
          dtype,
        );
        const mask = Float32Array.from({ length: batch * plane }, (_, i) => [0, 1, 0.25][(i * 7) % 3]);
        await gpu.withTensors(async (make) => {
          const mixed = maskedMix(
            make(a, shape, dtype),
            make(x, shape, dtype),
            make(mask, [batch, 1, height, width], dtype),
          );
          const wanted = gpu.want((i) => {
            const m = mask[Math.floor(i / plane / channels) * plane + (i % plane)];
            return (1 - m) * a[i] + m * x[i];
          }, a.length);
          // Two products and a sum in float32, then the storage's rounding.
          const tolerance = { relative: gpu.STORAGE[dtype], ofScale: 4 * gpu.EPSILON };
          gpu.expectClose("mixed", await gpu.take(mixed), wanted, tolerance);
        });
      });

  test("the mask has one channel", async () => {
    await gpu.withTensors(async (make) => {
      const x = make(new Float32Array(16), [1, 4, 2, 2], "float32");
      expect(() => maskedMix(x, x, x)).toThrow("maskedMix: the mask must be [1, 1, 2, 2], got [1, 4, 2, 2]");
    });
  });
});
