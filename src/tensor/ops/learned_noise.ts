import { learnedNoise as kernel, WORKGROUP_SIZE } from "../../../kernels/learned_noise.wgsl.js";
import { Tensor } from "../tensor.js";
import { foldedGrid, formatFor, quadsOf, sameShape } from "./common.js";

/** noise * exp(offset + slope v), element by element: noise whose deviation a model predicts. */
export function learnedNoise(noise: Tensor, v: Tensor, { offset, slope }: { offset: number; slope: number }): Tensor {
  sameShape("learnedNoise", noise, v);
  const format = formatFor("learnedNoise", noise, v);
  const y = Tensor.empty(noise.device, noise.shape, noise.dtype);
  const quads = quadsOf(y);
  const grid = foldedGrid(Math.ceil(quads / WORKGROUP_SIZE));
  noise.device.run({ kernel, variant: { format }, values: { quads, offset, slope }, buffers: [noise, v, y], grid });
  return y;
}
