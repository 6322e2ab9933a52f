/** Resampling without weights: diffusers' Downsample2D and Upsample2D with use_conv=False, and the FIR ones of NCSN++. */
import { firResample } from "../tensor/ops/fir_resample.js";
import { upsampleNearest } from "../tensor/ops/shape.js";
import type { Tensor } from "../tensor/tensor.js";

/** [batch, height, width, channels] to half or double the height and width. */
export type Resample = (x: Tensor) => Tensor;

/** The mean of 2 x 2 pixels; an odd row or column at the end is left out, as torch's avg_pool2d does. */
export const averagePool: Resample = (x) => firResample(x, { taps: [0.5, 0.5], down: 2 });

export const doubleNearest: Resample = (x) => upsampleNearest(x, [2 * x.shape[1], 2 * x.shape[2]]);

/** (1, 3, 3, 1), normalized. */
export const FIR = [1 / 8, 3 / 8, 3 / 8, 1 / 8];

export const firDown: Resample = (x) => firResample(x, { taps: FIR, down: 2, pad: [1, 1] });

/** Half of the pixels are the zeros in between, so the weights are doubled. */
export const firUp: Resample = (x) => firResample(x, { taps: FIR.map((w) => 2 * w), up: 2, pad: [2, 1] });
