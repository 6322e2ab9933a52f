import type { Activation } from "../../../kernels/activation.js";
import type { Format } from "../../../kernels/wgsl.js";
import type { Operand, Place } from "../columns.js";
import type { Region } from "../part.js";
import { Tensor } from "../tensor.js";
import { bandsOf } from "./bands.js";
import { expectShape, formatFor, rowPlace } from "./common.js";
import { implicitProduct } from "./conv2d_product.js";
import { slice } from "./copy.js";
import type { Conv2dProblem } from "../tuning/problem.js";
import type { Tile } from "./tiling.js";
import { canFill, filledUp, wholeQuads, wholeRows } from "./whole_quads.js";
import { takesWinograd, winograd } from "./winograd.js";

export interface Conv2dOptions {
  stride?: number;
  /** Zeros around the input: one number for all sides, or [top, bottom, left, right]. */
  padding?: number | Edges;
  /** [batch, cout], or [1, cout] for all images, added to every pixel of an image: the time embedding of a ResNet block. */
  shift?: Operand;
  /** [batch, height, width, cout] of the output, added to it. */
  residual?: Tensor;
  /** A 1x1 convolution of other tensors with the pixels of the output, added up in the same sums; instead of a residual and a shift,
   *  so that WebGPU's default of eight bindings suffices. */
  shortcut?: Shortcut;
  /** Applied last. */
  activation?: Activation;
  /** Doubles the input in both directions first (nearest), without a copy of it; large ones by fewer multiply-adds (winograd.ts, phase_weights.ts). */
  upsample?: boolean;
  /** For tests and benchmarks: a tile other than the one chosen by shape. */
  tile?: Tile;
  /** With `tile`: into how many slices the input channels are cut. */
  slices?: number;
  /** For tests and benchmarks: whether `upsample` is done in phases where that can be, whatever the size. */
  phases?: boolean;
  /** For tests and benchmarks: whether it is done by Winograd's filtering where that can be, whatever the size and the adapter. */
  winograd?: boolean;
}

export type Edges = readonly [top: number, bottom: number, left: number, right: number];

export interface Shortcut {
  /** [batch, height, width, channels] of the output: one tensor, or two whose channels lie one behind the other. */
  sources: readonly [Tensor] | readonly [Tensor, Tensor];
  /** [1, 1, channels of all, cout] */
  weight: Tensor;
  /** [cout] */
  bias: Tensor;
}

/** A convolution whose arguments are checked, and where its result goes; or a band of its rows, of one image (bands.ts). */
export interface Convolution<R extends Region = Region> {
  x: R;
  /** null: there are no taps, the shortcut is all there is. */
  w: Tensor | null;
  bias: Tensor;
  y: R;
  format: Format;
  stride: number;
  edges: Edges;
  upsample: boolean;
  /** Rows of zeros above x, of the doubled input where that is meant; a band's x may begin above what it reads: then fewer than none. */
  top: number;
  shift?: Place;
  residual?: R;
  shortcut?: Omit<Shortcut, "sources"> & { sources: readonly R[] };
  activation: Activation;
}

/**
 * torch.nn.functional.conv2d on NHWC, sums in float32.
 * @param x [batch, height, width, cin]
 * @param w [kernelHeight, kernelWidth, cin, cout] (packed so at load)
 * @param bias [cout]
 * @returns [batch, outHeight, outWidth, cout]
 */
export function conv2d(x: Tensor, w: Tensor, bias: Tensor, options: Conv2dOptions = {}): Tensor {
  const { stride = 1, padding = 0, shift, residual, activation = "none", upsample = false, shortcut } = options;
  if (x.shape.length !== 4 || w.shape.length !== 4 || w.shape[2] !== x.shape[3])
    throw new RangeError(
      `conv2d: takes x [batch, height, width, cin] and w [kh, kw, cin, cout], got [${x.shape.join(", ")}] and [${w.shape.join(", ")}]`,
    );
  const { device } = x;
  const [batch, height, width, cin] = x.shape;
  const [kernelHeight, kernelWidth, , cout] = w.shape;
  const edges: Edges = typeof padding === "number" ? [padding, padding, padding, padding] : padding;
  const [top, bottom, left, right] = edges;
  const zoom = upsample ? 2 : 1;
  const outHeight = Math.floor((height * zoom + top + bottom - kernelHeight) / stride) + 1;
  const outWidth = Math.floor((width * zoom + left + right - kernelWidth) / stride) + 1;
  if (outHeight < 1 || outWidth < 1)
    throw new RangeError(
      `conv2d: the input [${x.shape.join(", ")}] is smaller than the kernel ${kernelHeight}x${kernelWidth}`,
    );
  const shape = [batch, outHeight, outWidth, cout];
  expectShape("conv2d", "bias", bias, [cout]);
  const row = shift && rowPlace("conv2d", "shift", shift, [batch, cout]);
  if (residual) expectShape("conv2d", "residual", residual, shape);
  const sources = shortcut?.sources ?? [];
  for (const source of sources)
    expectShape("conv2d", "a source of the shortcut", source, [batch, outHeight, outWidth, source.shape.at(-1)!]);
  const ofShortcut = shortcut ? [shortcut.weight, shortcut.bias] : [];
  if (shortcut) {
    const channels = sources.reduce((sum, source) => sum + source.shape.at(-1)!, 0);
    expectShape("conv2d", "the shortcut's weight", shortcut.weight, [1, 1, channels, cout]);
    expectShape("conv2d", "the shortcut's bias", shortcut.bias, [cout]);
    if (shift || residual) throw new RangeError("conv2d: takes a shortcut, or a shift and a residual, got both");
  }
  const format = formatFor("conv2d", x, w, bias, row?.tensor, residual, ...ofShortcut, ...sources);
  const given = options.tile ?? options.phases ?? options.winograd;
  const bare = !shift && !residual && !shortcut && !options.tile && !device.plainKernels;
  const others = sources.map((source) => source.shape.at(-1)!);
  const couldTile = given === undefined && !device.plainKernels && others.every((n) => n % 4 === 0);
  if (cin % 4 !== 0 && couldTile && (cout % 4 === 0 || bare) && canFill(x)) {
    // The colours of a picture, or latents beside a mask: the plain kernel takes ten times as long on CPU adapters.
    const filled = filledUp(x);
    const y = conv2d(filled, wholeRows(w), bias, options);
    filled.dispose();
    return y;
  }
  if (bare && cout % 4 !== 0 && cin % 4 === 0) {
    // Those of the result: columns are filled up.
    const filled = conv2d(x, wholeQuads(w), wholeQuads(bias), options);
    const y = slice(filled, 3, 0, cout);
    filled.dispose();
    return y;
  }
  const place = { stride, edges, upsample };
  const problem = (): Conv2dProblem => ({
    op: "conv2d",
    dtype: x.dtype,
    x: x.shape,
    w: w.shape,
    out: [outHeight, outWidth],
    ...place,
    shortcut: others,
    finish: { bias: true, residual: Boolean(residual), shift: Boolean(shift), activation },
  });
  const way = given === undefined ? (device.tunings.wayOf(device, problem) ?? {}) : options;
  const filtered = takesWinograd(w, batch * outHeight * outWidth, place, way);
  const y = Tensor.empty(device, shape, x.dtype);
  const whole = { x, w, bias, y, format, ...place, top, shift: row, residual, shortcut, activation };
  for (const convolution of bandsOf(whole))
    if (filtered) winograd(convolution, way);
    else implicitProduct(convolution, way);
  return y;
}
