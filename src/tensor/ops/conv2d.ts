import type { Activation } from "../../../kernels/activation.js";
import { conv2d as kernel } from "../../../kernels/conv2d.wgsl.js";
import { Tensor } from "../tensor.js";
import { expectShape, formatFor, rowRuns } from "./common.js";
import { chooseTile, rowUnit, tileGrid, tileVariant, type Tile } from "./tiling.js";

export interface Conv2dOptions {
  stride?: number;
  /** Zeros around the input: one number for all sides, or [top, bottom, left, right]. */
  padding?: number | readonly [top: number, bottom: number, left: number, right: number];
  /** [batch, cout], added to every pixel of an image: the time embedding of a ResNet block. */
  shift?: Tensor;
  /** [batch, height, width, cout] of the output, added to it. */
  residual?: Tensor;
  /** Applied last. */
  activation?: Activation;
  /** Doubles the input in both directions first (nearest), without a copy of it. */
  upsample?: boolean;
  /** For tests and benchmarks: a tile other than the one chosen by shape. */
  tile?: Tile;
}

/**
 * torch.nn.functional.conv2d on NHWC, sums in float32.
 * @param x [batch, height, width, cin]
 * @param w [kernelHeight, kernelWidth, cin, cout] (packed so at load)
 * @param bias [cout]
 * @returns [batch, outHeight, outWidth, cout]
 */
export function conv2d(x: Tensor, w: Tensor, bias: Tensor, options: Conv2dOptions = {}): Tensor {
  const { stride = 1, padding = 0, shift, residual, activation = "none", upsample = false } = options;
  if (x.shape.length !== 4 || w.shape.length !== 4 || w.shape[2] !== x.shape[3])
    throw new RangeError(
      `conv2d: takes x [batch, height, width, cin] and w [kh, kw, cin, cout], got [${x.shape.join(", ")}] and [${w.shape.join(", ")}]`,
    );
  const { device } = x;
  const [batch, height, width, cin] = x.shape;
  const [kernelHeight, kernelWidth, , cout] = w.shape;
  const [top, bottom, left, right] = typeof padding === "number" ? [padding, padding, padding, padding] : padding;
  const zoom = upsample ? 2 : 1;
  const outHeight = Math.floor((height * zoom + top + bottom - kernelHeight) / stride) + 1;
  const outWidth = Math.floor((width * zoom + left + right - kernelWidth) / stride) + 1;
  if (outHeight < 1 || outWidth < 1)
    throw new RangeError(
      `conv2d: the input [${x.shape.join(", ")}] is smaller than the kernel ${kernelHeight}x${kernelWidth}`,
    );
  const shape = [batch, outHeight, outWidth, cout];
  expectShape("conv2d", "bias", bias, [cout]);
  if (shift) expectShape("conv2d", "shift", shift, [batch, cout]);
  if (residual) expectShape("conv2d", "residual", residual, shape);
  const format = formatFor("conv2d", x, w, bias, shift, residual);
  const y = Tensor.empty(device, shape, x.dtype);
  const m = batch * outHeight * outWidth;
  const flopsPerRow = 2 * cout * cin * kernelHeight * kernelWidth;
  const tile =
    options.tile ??
    chooseTile(device, {
      ...{ m, n: cout, k: flopsPerRow / 2 / cout, run: cin },
      ...{ xBytes: x.bytes, wBytes: w.bytes },
    });
  const flags = { shift: Boolean(shift), residual: Boolean(residual) };
  const terms = [shift, residual].filter((term) => term !== undefined);
  for (const [start, count] of rowRuns(device, m, flopsPerRow, rowUnit(tile))) {
    device.run({
      kernel,
      variant: { format, ...tileVariant(device, tile), fma: device.fusedMultiplyAdd, activation, ...flags },
      values: {
        ...{ height, width, cin, cout, out_height: outHeight, out_width: outWidth },
        ...{ kernel_height: kernelHeight, kernel_width: kernelWidth, stride, pad_top: top, pad_left: left },
        ...{ upsample: upsample ? 1 : 0, m, row_start: start, row_end: start + count },
      },
      buffers: [x, w, bias, y, ...terms],
      grid: tileGrid(device, count, cout, tile),
      flops: flopsPerRow * count,
    });
  }
  return y;
}
