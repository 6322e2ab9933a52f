/** What the tests of conv2d's kernels share. */
import { expect } from "vitest";
import { conv2d, type Conv2dOptions } from "../../src/tensor/ops/conv2d.js";
import type { Tensor } from "../../src/tensor/tensor.js";
import type { Conv2dCase, Conv2dData } from "../cases/conv2d.js";
import type { FloatType } from "../cases/data.js";
import * as gpu from "./gpu.js";

/** Terms of one sum. */
export const termsOf = ({ cin, kernel, shortcut = [0] }: Conv2dCase): number =>
  cin * kernel[0] * kernel[1] + shortcut[0] + (shortcut[1] ?? 0);

/** As for matmul: rounding of n partial sums walks at random, sqrt(n) steps of one ulp; then the storage. */
export const tolerance = (dtype: FloatType, terms: number): gpu.Tolerance => ({
  relative: gpu.STORAGE[dtype],
  ofScale: gpu.EPSILON * (Math.sqrt(terms) + 1),
  absolute: dtype === "float16" ? 2 ** -25 : 0,
});

/** A case on the GPU. */
export async function run(
  item: Conv2dCase,
  data: Conv2dData,
  dtype: FloatType,
  choice: Pick<Conv2dOptions, "tile" | "phases" | "slices" | "winograd">,
): Promise<Float32Array> {
  const { batch, height, width, cin, cout, kernel, outHeight, outWidth } = item;
  const { stride, padding, upsample, activation } = item;
  return gpu.withTensors(async (make) => {
    const options: Conv2dOptions = { stride, padding, upsample, activation, ...choice };
    if (data.shift) options.shift = make(data.shift, [batch, cout], dtype);
    if (data.residual) options.residual = make(data.residual, [batch, outHeight, outWidth, cout], dtype);
    if (data.shortcut && item.shortcut) {
      const [first, second = 0] = item.shortcut;
      const source = (values: Float32Array, channels: number): Tensor =>
        make(values, [batch, outHeight, outWidth, channels], dtype);
      const one = source(data.shortcut, first);
      const weight = make(data.shortcutWeight!, [1, 1, first + second, cout], dtype);
      const sources = data.skip ? ([one, source(data.skip, second)] as const) : ([one] as const);
      options.shortcut = { sources, weight, bias: make(data.shortcutBias!, [cout], dtype) };
    }
    const x = make(data.x, [batch, height, width, cin], dtype);
    const y = conv2d(x, make(data.w, [...kernel, cin, cout], dtype), make(data.bias, [cout], dtype), options);
    expect(y.shape).toEqual([batch, outHeight, outWidth, cout]);
    return gpu.take(y);
  });
}
