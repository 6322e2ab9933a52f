import { describe, expect, test } from "vitest";
import { langevin } from "../../src/tensor/ops/langevin.js";
import { learnedNoise } from "../../src/tensor/ops/learned_noise.js";
import { mixSamples } from "../../src/tensor/ops/per_sample.js";
import { Generator } from "../../src/tensor/random.js";
import { rounded } from "../cases/data.js";
import * as gpu from "../support/gpu.js";

const normal = (seed: number, size: number, scale = 1): Float32Array =>
  new Generator("cpu")
    .manualSeed(seed)
    .randn([size])
    .map((v) => v * scale);
const SHAPES = [
  [1, 4, 8, 8],
  [3, 5, 3, 1], // no multiple of 4, so that samples begin inside a vec4
  [2, 70000],
];
const sizeOf = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

describe("mixSamples", () => {
  gpu.checkLeaks();

  for (const shape of SHAPES)
    for (const dtype of gpu.DTYPES)
      test(`[${shape.join(", ")}] ${dtype}`, async () => {
        const size = sizeOf(shape);
        const [x, y] = [1, 2].map((seed) => rounded(normal(seed, size), dtype));
        const pairs = Array.from({ length: shape[0] }, (_, b) => [0.5 + b, -0.25 * b] as const);
        await gpu.withTensors(async (make) => {
          const mixed = mixSamples(make(x, shape, dtype), make(y, shape, dtype), pairs);
          const width = size / shape[0];
          const wanted = gpu.want((i) => {
            const [a, c] = pairs[Math.floor(i / width)];
            return a * x[i] + c * y[i];
          }, size);
          const tolerance = { relative: gpu.STORAGE[dtype], ofScale: 2 * gpu.EPSILON };
          gpu.expectClose("mixed", await gpu.take(mixed), wanted, tolerance);
        });
      });

  test("needs a pair per sample", async () => {
    await gpu.withTensors(async (make) => {
      const x = make(new Float32Array(4), [2, 2], "float32");
      expect(() => mixSamples(x, x, [[1, 1]])).toThrow(/one pair of coefficients per sample, 2, got 1/);
    });
  });
});

describe("learnedNoise", () => {
  gpu.checkLeaks();

  for (const shape of SHAPES)
    test(`[${shape.join(", ")}]`, async () => {
      const size = sizeOf(shape);
      const [noise, v] = [normal(1, size), normal(2, size)];
      await gpu.withTensors(async (make) => {
        const options = { offset: -2.5, slope: 0.75 };
        const got = learnedNoise(make(noise, shape, "float32"), make(v, shape, "float32"), options);
        const wanted = gpu.want((i) => noise[i] * Math.exp(-2.5 + 0.75 * v[i]), size);
        // exp may be off by 3 + 2|x| ulp in WGSL.
        gpu.expectClose("noise", await gpu.take(got), wanted, { relative: 20 * gpu.EPSILON });
      });
    });
});

describe("langevin", () => {
  gpu.checkLeaks();

  for (const shape of SHAPES)
    for (const scale of [1, 1e25])
      // the square of the second overflows
      test(`[${shape.join(", ")}] score of ${scale}`, async () => {
        const size = sizeOf(shape);
        const width = size / shape[0];
        const [x, score, noise] = [normal(1, size), normal(2, size, scale), normal(3, size)];
        const norm = (b: number): number =>
          Math.sqrt(score.subarray(b * width, (b + 1) * width).reduce((sum, v) => sum + v * v, 0));
        const mean = Array.from({ length: shape[0] }, (_, b) => norm(b)).reduce((a, b) => a + b, 0) / shape[0];
        const ratio = 3 / mean;
        await gpu.withTensors(async (make) => {
          const tensors = [x, score, noise].map((data) => make(data, shape, "float32"));
          const got = await gpu.take(langevin(tensors[0], tensors[1], tensors[2], 3));
          const wanted = gpu.want((i) => x[i] + 2 * ratio * (ratio * score[i]) + 2 * ratio * noise[i], size);
          gpu.expectClose("x", got, wanted, { relative: 1e-5, ofScale: 1e-6 });
        });
      });
});
