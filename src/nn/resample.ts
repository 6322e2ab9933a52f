/** Resampling without weights: diffusers' Downsample2D and Upsample2D with use_conv=False, the FIR ones of NCSN++, those of T2I-Adapters. */
import { permute, slice } from "../tensor/ops/copy.js";
import { firResample } from "../tensor/ops/fir_resample.js";
import { concat, upsampleNearest } from "../tensor/ops/shape.js";
import type { Tensor } from "../tensor/tensor.js";

/** [batch, height, width, channels] to half or double the height and width. */
export type Resample = (x: Tensor) => Tensor;

/** The mean of 2 x 2 pixels; an odd row or column at the end is left out, as torch's avg_pool2d does. */
export const averagePool: Resample = (x) => firResample(x, { taps: [0.5, 0.5], down: 2 });

/** As averagePool, but an odd row or column at the end is kept, as the mean of what there is: torch's AvgPool2d with ceil_mode. */
export const averagePoolWhole: Resample = (x) => x.device.scope(() => averagePool(evened(evened(x, 1), 2)));

/** An odd row or column at the end once more. */
const evened = (x: Tensor, axis: 1 | 2): Tensor =>
  x.shape[axis] % 2 === 0 ? x : concat(x, slice(x, axis, x.shape[axis] - 1, 1), axis);

export const doubleNearest: Resample = (x) => upsampleNearest(x, [2 * x.shape[1], 2 * x.shape[2]]);

/** (1, 3, 3, 1), normalized. */
export const FIR = [1 / 8, 3 / 8, 3 / 8, 1 / 8];

export const firDown: Resample = (x) => firResample(x, { taps: FIR, down: 2, pad: [1, 1] });

/** Half of the pixels are the zeros in between, so the weights are doubled. */
export const firUp: Resample = (x) => firResample(x, { taps: FIR.map((w) => 2 * w), up: 2, pad: [2, 1] });

/**
 * torch.nn.PixelUnshuffle: squares of pixels become channels.
 * @param x [batch, channels, height, width], whose sides are multiples of `factor`
 * @returns [batch, height / factor, width / factor, channels * factor ** 2]
 */
export function pixelUnshuffle(x: Tensor, factor: number): Tensor {
  const [batch, channels, height, width] = x.shape;
  const [rows, columns] = [height / factor, width / factor];
  return x.device.scope(() => {
    // Each permutation takes four axes: rows of squares come first, then squares of a row.
    const byRow = permute(x.reshape([batch, channels, rows, factor * width]), [0, 2, 1, 3]);
    const bySquare = permute(byRow.reshape([batch * rows, channels * factor, columns, factor]), [0, 2, 1, 3]);
    return bySquare.reshape([batch, rows, columns, channels * factor ** 2]);
  });
}
