import type { Activation } from "../../../kernels/activation.js";
import { conv2d as kernel } from "../../../kernels/conv2d.wgsl.js";
import type { Operand } from "../columns.js";
import { Tensor } from "../tensor.js";
import { slice } from "./copy.js";
import { commonDivisor, expectShape, formatFor, rowPlace, rowRuns } from "./common.js";
import { mergeSlices } from "./merge_slices.js";
import { weightsOf } from "./panels.js";
import { phaseBytes, phaseWeights } from "./phase_weights.js";
import { wholeQuads } from "./whole_quads.js";
import { chooseSlicedTile, chooseTile, rowUnit, tileGrid, tileVariant, wholeSlices, type Tile } from "./tiling.js";

export interface Conv2dOptions {
  stride?: number;
  /** Zeros around the input: one number for all sides, or [top, bottom, left, right]. */
  padding?: number | readonly [top: number, bottom: number, left: number, right: number];
  /** [batch, cout], or [1, cout] for all images, added to every pixel of an image: the time embedding of a ResNet block. */
  shift?: Operand;
  /** [batch, height, width, cout] of the output, added to it. */
  residual?: Tensor;
  /** A 1x1 convolution of other tensors with the pixels of the output, added up in the same sums; instead of a residual and a shift,
   *  so that WebGPU's default of eight bindings suffices. */
  shortcut?: Shortcut;
  /** Applied last. */
  activation?: Activation;
  /** Doubles the input in both directions first (nearest), without a copy of it; large ones in phases (the kernel says how). */
  upsample?: boolean;
  /** For tests and benchmarks: a tile other than the one chosen by shape. */
  tile?: Tile;
  /** With `tile`: into how many slices the input channels are cut. */
  slices?: number;
  /** For tests and benchmarks: whether `upsample` is done in phases where that can be, whatever the size. */
  phases?: boolean;
}

export interface Shortcut {
  /** [batch, height, width, channels] of the output: one tensor, or two whose channels lie one behind the other. */
  sources: readonly [Tensor] | readonly [Tensor, Tensor];
  /** [1, 1, channels of all, cout] */
  weight: Tensor;
  /** [cout] */
  bias: Tensor;
}

/** Work from which an upsampled convolution in phases is worth another kernel to compile, and its weights' memory. */
const WORTH_PHASES = 1e8;
/**
 * Bytes that the weights of phases may take, beside the weights themselves: the VAE's upsamplers and the UNet's finest have as
 * many, at Stable Diffusion 1.5's sizes. Its two largest would take 105 MB in float16 for 3 % of a step's work.
 */
const MOST_PHASE_BYTES = 16 * 2 ** 20;

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
  const place = shift && rowPlace("conv2d", "shift", shift, [batch, cout]);
  if (residual) expectShape("conv2d", "residual", residual, shape);
  const sources = shortcut?.sources ?? [];
  const [cinShortcut = 0, cinSkip = 0] = sources.map((source) => source.shape.at(-1)!);
  for (const source of sources)
    expectShape("conv2d", "a source of the shortcut", source, [batch, outHeight, outWidth, source.shape.at(-1)!]);
  const ofShortcut = shortcut ? [shortcut.weight, shortcut.bias] : [];
  if (shortcut) {
    expectShape("conv2d", "the shortcut's weight", shortcut.weight, [1, 1, cinShortcut + cinSkip, cout]);
    expectShape("conv2d", "the shortcut's bias", shortcut.bias, [cout]);
    if (shift || residual) throw new RangeError("conv2d: takes a shortcut, or a shift and a residual, got both");
  }
  const bare = !shift && !residual && !shortcut && !options.tile && !device.plainKernels;
  if (bare && cout % 4 !== 0 && cin % 4 === 0) {
    // The colours of a picture: their columns are filled up for the tiled kernels.
    const filled = conv2d(x, wholeQuads(w), wholeQuads(bias), options);
    const y = slice(filled, 3, 0, cout);
    filled.dispose();
    return y;
  }
  const format = formatFor("conv2d", x, w, bias, place?.tensor, residual, ...ofShortcut, ...sources);
  const y = Tensor.empty(device, shape, x.dtype);
  const flags = {
    shift: !place ? ("none" as const) : batch > 1 && place.stride > 0 ? ("own" as const) : ("same" as const),
    residual: Boolean(residual),
    shortcut: sources.length as 0 | 1 | 2,
  };
  const phases =
    upsample &&
    !shortcut &&
    options.tile?.by !== "plain" &&
    (options.phases ??
      (2 * y.size * cin * kernelHeight * kernelWidth >= WORTH_PHASES && phaseBytes(w) <= MOST_PHASE_BYTES)) &&
    fitsPhases(w, stride, [top, bottom, left, right]);
  // In phases all numbers are those of one of them, which has as many pixels as the small image.
  const { weights, kept } = phases ? phaseWeights(w) : { weights: w, kept: true };
  const [kh, kw] = phases ? [2, 2] : [kernelHeight, kernelWidth];
  const [oh, ow] = phases ? [height, width] : [outHeight, outWidth];
  const m = batch * oh * ow;
  const k = kh * kw * cin + cinShortcut + cinSkip;
  const run = commonDivisor(cin, cinShortcut, cinSkip);
  const halves = format === "f16";
  const product = { m: phases ? 4 * m : m, n: cout, k, run, cut: cin, halves, ...operandBytes(x, weights, shortcut) };
  const { tile, slices: wanted = 1 } = options.tile
    ? { tile: options.tile, slices: options.slices }
    : phases
      ? { tile: chooseTile(device, product) }
      : chooseSlicedTile(device, product);
  if (wanted > 1 && (phases || tile.by === "plain"))
    throw new RangeError(`conv2d: slices take a tiled kernel and no phases, got ${JSON.stringify(tile)}`);
  const slices = wholeSlices(tile, cin, wanted);
  const split = slices > 1;
  const sums = split ? Tensor.empty(device, [slices, m, cout], "float32") : y;
  const finish = split
    ? { ...flags, shift: "none" as const, residual: false, activation: "none" as const, split }
    : { ...flags, activation, split };
  const terms = [
    ...(split ? [] : [place?.tensor, residual].filter((term) => term !== undefined)),
    ...(shortcut ? [weightsOf(shortcut.weight, tile), shortcut.bias, ...sources] : []),
  ];
  const ordered = weightsOf(weights, tile);
  const slots = phases ? 4 : slices;
  const flopsPerRow = 2 * cout * k * (phases ? 4 : 1);
  for (const [start, count] of rowRuns(device, m, flopsPerRow, rowUnit(tile))) {
    device.run({
      kernel,
      variant: { format, ...tileVariant(device, tile), fma: device.fusedMultiplyAdd, ...finish, phases },
      values: {
        ...{ height, width, cin, cout, out_height: oh, out_width: ow, kernel_height: kh, kernel_width: kw },
        ...{ slices, stride, pad_top: top, pad_left: left, upsample: upsample && !phases ? 1 : 0 },
        ...{ m, row_start: start, row_end: start + count, cin_shortcut: cinShortcut, cin_skip: cinSkip },
        ...{ shift_stride: place?.stride ?? 0, shift_start: place?.start ?? 0 },
      },
      buffers: [x, ordered, bias, sums, ...terms],
      grid: [...tileGrid(device, count, cout, tile), slots],
      flops: flopsPerRow * count,
    });
  }
  if (split) {
    const added = { bias, other_bias: shortcut?.bias, shift: place, residual };
    mergeSlices(sums, y, { format, activation, terms: added, rows: oh * ow });
  }
  if (!kept) weights.dispose();
  return y;
}

/** Bytes of the largest operands: each may need a texture. */
const operandBytes = (x: Tensor, w: Tensor, shortcut?: Shortcut): { xBytes: number; wBytes: number } => ({
  xBytes: Math.max(x.bytes, ...(shortcut?.sources ?? []).map(({ bytes }) => bytes)),
  wBytes: Math.max(w.bytes, shortcut?.weight.bytes ?? 0),
});

/** Whether kernels/phase_weights.wgsl.ts has weights for it, and one binding holds them. */
function fitsPhases(w: Tensor, stride: number, padding: readonly number[]): boolean {
  const [kernelHeight, kernelWidth, cin, cout] = w.shape;
  const keepsSize = kernelHeight === 3 && kernelWidth === 3 && stride === 1 && padding.every((side) => side === 1);
  const fills = cin % 4 === 0 && cout % 4 === 0;
  return keepsSize && fills && phaseBytes(w) <= w.device.limits.maxStorageBufferBindingSize;
}
