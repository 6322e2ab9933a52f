import { sinusoid as kernel } from "../../../kernels/sinusoid.wgsl.js";
import { Tensor } from "../tensor.js";
import { expectShape, quadsOf } from "./common.js";
import { runStream } from "./streams.js";

export interface SinusoidOptions {
  /** Of a row of the result: twice the frequencies, or one more, which is 0. */
  width: number;
  /** Cosines before sines. */
  flipSinToCos: boolean;
  /** Multiplies the products of t and frequency. Default 1. */
  factor?: number;
}

/**
 * Sines and cosines of t * frequency * factor, good to 1e-7 up to angles of 10^4.
 * @param t float32 [n]
 * @param frequencies float32 [half]
 * @returns float32 [n, width]
 */
export function sinusoid(t: Tensor, frequencies: Tensor, { width, flipSinToCos, factor = 1 }: SinusoidOptions): Tensor {
  const { device } = t;
  const half = width >> 1;
  expectShape("sinusoid", "frequencies", frequencies, [half]);
  for (const x of [t, frequencies])
    if (x.dtype !== "float32") throw new TypeError(`sinusoid: takes float32 tensors, got ${String(x)}`);
  const y = Tensor.empty(device, [t.size, width], "float32");
  runStream(device, quadsOf(y), {
    kernel,
    variant: {},
    values: { size: y.size, width, half, flip: flipSinToCos ? 1 : 0, zero: 0, factor },
    buffers: [t, frequencies, y],
  });
  return y;
}
