import { learnedNoise as kernel } from "../../../kernels/learned_noise.wgsl.js";
import { Tensor } from "../tensor.js";
import { formatFor, quadsOf, sameShape } from "./common.js";
import { runStream } from "./streams.js";

/** noise * exp(offset + slope v), element by element: noise whose deviation a model predicts. */
export function learnedNoise(noise: Tensor, v: Tensor, { offset, slope }: { offset: number; slope: number }): Tensor {
  sameShape("learnedNoise", noise, v);
  const format = formatFor("learnedNoise", noise, v);
  const y = Tensor.empty(noise.device, noise.shape, noise.dtype);
  runStream(noise.device, quadsOf(y), {
    kernel,
    variant: { format },
    values: { offset, slope },
    buffers: [noise, v, y],
  });
  return y;
}
