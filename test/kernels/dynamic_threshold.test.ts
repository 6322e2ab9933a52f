import { describe, expect, test } from "vitest";
import { dynamicThreshold } from "../../src/tensor/ops/dynamic_threshold.js";
import { Generator } from "../../src/tensor/random.js";
import * as gpu from "../support/gpu.js";

/** torch.quantile of |x| (float32 rank, linear interpolation), then clamp(x, -s, s) / s, in double precision. */
function reference(x: Float32Array, ratio: number, max: number): number[] {
  const sorted = Array.from(x, Math.abs).sort((a, b) => a - b);
  const position = Math.fround(Math.fround(ratio) * (x.length - 1));
  const below = Math.floor(position);
  const next = sorted[Math.min(below + 1, x.length - 1)];
  const quantile = sorted[below] + (position - below) * (next - sorted[below]);
  const s = Math.min(max, Math.max(1, quantile));
  return Array.from(x, (v) => Math.min(s, Math.max(-s, v)) / s);
}

const normal = (size: number, scale: number): Float32Array =>
  new Generator("cpu")
    .manualSeed(size)
    .randn([size])
    .map((v) => v * scale);

describe("dynamicThreshold", () => {
  gpu.checkLeaks();

  const CASES = [
    { shape: [1, 4, 8, 8], scale: 3 },
    { shape: [2, 3, 5, 7], scale: 3 }, // no multiple of 4, so that samples begin inside a vec4
    { shape: [3, 1], scale: 5 },
    { shape: [1, 3, 40, 40], scale: 0.1 }, // all below 1: nothing changes
    { shape: [2, 4, 64, 64], scale: 20 },
  ];
  for (const { shape, scale } of CASES)
    for (const ratio of [0, 0.5, 0.9, 0.995, 1])
      test(`[${shape.join(", ")}] scale ${scale}, ratio ${ratio}`, async () => {
        const x = normal(
          shape.reduce((a, b) => a * b, 1),
          scale,
        );
        const width = x.length / shape[0];
        const wanted = Array.from({ length: shape[0] }, (_, b) =>
          reference(x.subarray(b * width, (b + 1) * width), ratio, 30),
        ).flat();
        await gpu.withTensors(async (make) => {
          const y = await gpu.take(dynamicThreshold(make(x, shape, "float32"), { ratio, max: 30 }));
          // The division is within 2.5 ulp in WGSL.
          gpu.expectClose(
            "y",
            y,
            gpu.want((i) => wanted[i], x.length),
            { relative: 8 * gpu.EPSILON, absolute: 1e-7 },
          );
        });
      });

  test("equal values, zeros and the upper bound", async () => {
    await gpu.withTensors(async (make) => {
      const equal = make(new Float32Array(300).fill(-7), [1, 300], "float32");
      expect(await gpu.take(dynamicThreshold(equal, { ratio: 0.5, max: 100 }))).toEqual(new Float32Array(300).fill(-1));
      expect((await gpu.take(dynamicThreshold(equal, { ratio: 0.5, max: 1 })))[0]).toBe(-1);
      const zeros = make(new Float32Array(300), [1, 300], "float32");
      expect(await gpu.take(dynamicThreshold(zeros, { ratio: 0.9, max: 2 }))).toEqual(new Float32Array(300));
    });
  });

  test("bad arguments", async () => {
    await gpu.withTensors(async (make) => {
      const x = make(new Float32Array(4), [1, 4], "float32");
      const half = make(new Float32Array(4), [1, 4], "float16");
      expect(() => dynamicThreshold(x, { ratio: 1.5, max: 1 })).toThrow(/ratio must be in \[0, 1\], got 1.5/);
      expect(() => dynamicThreshold(half, { ratio: 0.5, max: 1 })).toThrow(/float32/);
    });
  });
});
