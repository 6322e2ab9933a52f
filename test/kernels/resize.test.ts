/** The ops that change the size of feature maps, each beside its formula in float64. */
import { describe, expect, test } from "vitest";
import { bilinear } from "../../src/tensor/ops/bilinear.js";
import { maxPool } from "../../src/tensor/ops/max_pool.js";
import { Random, rounded, type FloatType } from "../cases/data.js";
import * as gpu from "../support/gpu.js";

const sizeOf = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);
const normal = (seed: number, shape: readonly number[], dtype: FloatType): Float32Array =>
  rounded(new Random(seed).normal(sizeOf(shape)), dtype);

/** Sums of a few products of numbers of unit size, rounded once on storage; places of some dozen pixels are rounded, too. */
const tolerance = (dtype: FloatType): gpu.Tolerance => ({ relative: gpu.STORAGE[dtype], ofScale: 64 * gpu.EPSILON });

/** x by image, row, column and channel. */
const reader =
  (x: Float32Array, [, height, width, channels]: readonly number[]) =>
  (b: number, i: number, j: number, c: number): number =>
    i < 0 || j < 0 || i >= height || j >= width ? 0 : x[((b * height + i) * width + j) * channels + c];

describe("bilinear", () => {
  gpu.checkLeaks();

  for (const [shape, size] of [
    [
      [2, 3, 4, 8],
      [6, 8],
    ],
    [
      [1, 5, 7, 3],
      [4, 9],
    ],
    [
      [1, 1, 2, 4],
      [3, 1],
    ],
  ] as const)
    for (const corners of [false, true])
      for (const dtype of gpu.DTYPES)
        test(`[${shape.join(", ")}] to ${size.join(" x ")}${corners ? " by corners" : ""}, ${dtype}`, async () => {
          const [batch, height, width, channels] = shape;
          const [outHeight, outWidth] = size;
          const x = normal(1, shape, dtype);
          const at = reader(x, shape);
          const place = (i: number, from: number, to: number): number => {
            if (corners) return to === 1 ? 0 : (i * (from - 1)) / (to - 1);
            return Math.max(0, ((i + 0.5) * from) / to - 0.5);
          };
          const wanted = gpu.want(
            (e) => {
              const [c, j] = [e % channels, Math.floor(e / channels) % outWidth];
              const [i, b] = [
                Math.floor(e / channels / outWidth) % outHeight,
                Math.floor(e / channels / outWidth / outHeight),
              ];
              const [y, z] = [place(i, height, outHeight), place(j, width, outWidth)];
              const [top, left] = [Math.floor(y), Math.floor(z)];
              const [bottom, right] = [Math.min(top + 1, height - 1), Math.min(left + 1, width - 1)];
              const row = (r: number): number => at(b, r, left, c) * (1 - z + left) + at(b, r, right, c) * (z - left);
              return row(top) * (1 - y + top) + row(bottom) * (y - top);
            },
            batch * outHeight * outWidth * channels,
          );
          await gpu.withTensors(async (make) => {
            const y = bilinear(make(x, shape, dtype), size, { corners });
            expect(y.shape).toEqual([batch, ...size, channels]);
            gpu.expectClose("resized", await gpu.take(y), wanted, tolerance(dtype));
          });
        });

  test("images that an adapter cannot bind together go one by one", async () => {
    await gpu.withTensors(async (make) => {
      const shape = [2, 4, 4, 16];
      const x = make(normal(2, shape, "float32"), shape, "float32");
      const whole = await gpu.take(bilinear(x, [8, 8], { corners: true }));
      const parts = await gpu.withLimit(4096, async () => gpu.take(bilinear(x, [8, 8], { corners: true })));
      expect(parts).toEqual(whole);
    });
  });

  test("refuses what is no image", async () => {
    await gpu.withTensors(async (make) => {
      const x = make(new Float32Array(8), [2, 4], "float32");
      expect(() => bilinear(x, [2, 2])).toThrow("bilinear: takes [batch, height, width, channels]");
    });
  });
});

describe("maxPool", () => {
  gpu.checkLeaks();

  for (const [shape, options] of [
    [[2, 5, 6, 8], { kernel: 3, stride: 2, padding: [0, 1, 1, 1] }],
    [[1, 7, 5, 3], { kernel: 3, stride: 2 }],
    [[1, 3, 2, 4], { kernel: 1, stride: 1, padding: [1, 1, 1, 1] }],
  ] as const)
    for (const dtype of gpu.DTYPES)
      test(`[${shape.join(", ")}], ${JSON.stringify(options)}, ${dtype}`, async () => {
        const [batch, height, width, channels] = shape;
        const { kernel, stride } = options;
        const [top, bottom, left, right] = "padding" in options ? options.padding : [0, 0, 0, 0];
        const out = [
          Math.floor((height + top + bottom - kernel) / stride) + 1,
          Math.floor((width + left + right - kernel) / stride) + 1,
        ];
        // Below zero, so that zeros around it count.
        const x = normal(3, shape, dtype).map((value) => (value > 1 ? value : -Math.abs(value)));
        const at = reader(x, shape);
        const wanted = gpu.want(
          (e) => {
            const [c, j] = [e % channels, Math.floor(e / channels) % out[1]];
            const [i, b] = [Math.floor(e / channels / out[1]) % out[0], Math.floor(e / channels / out[1] / out[0])];
            let most = -Infinity;
            for (let k = 0; k < kernel; k++)
              for (let l = 0; l < kernel; l++)
                most = Math.max(most, at(b, i * stride + k - top, j * stride + l - left, c));
            return most;
          },
          batch * out[0] * out[1] * channels,
        );
        await gpu.withTensors(async (make) => {
          const y = maxPool(make(x, shape, dtype), options);
          expect(y.shape).toEqual([batch, ...out, channels]);
          gpu.expectClose("pooled", await gpu.take(y), wanted, { absolute: 0, relative: 0, ofScale: 0 });
          expect(() => maxPool(y, { kernel: 9, stride: 1 })).toThrow("of at least 9 x 9 pixels");
        });
      });
});
