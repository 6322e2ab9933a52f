import { conv2d as kernel } from "../../../kernels/conv2d.wgsl.js";
import { shown } from "../../arguments/shown.js";
import { Tensor } from "../tensor.js";
import { commonDivisor, rowRuns } from "./common.js";
import type { Conv2dOptions, Convolution, Edges } from "./conv2d.js";
import { mergeSlices } from "./merge_slices.js";
import { weightsOf } from "./panels.js";
import { phaseWeights } from "./phase_weights.js";
import {
  chooseSlicedTile,
  chooseTile,
  mostRows,
  rowUnit,
  tileGrid,
  tileVariant,
  wholeSlices,
  type ProductShape,
} from "./tiling.js";

/** Columns that take about as long as fewer: a picture's colours wait for the loads of x. */
const NARROW = 16;
/** Work from which an upsampled convolution in phases is worth another kernel to compile, and its weights' memory. */
const WORTH_PHASES = 1e8;
/**
 * Bytes that the weights of phases may take, beside the weights themselves: the VAE's upsamplers and the UNet's finest have as
 * many, at Stable Diffusion 1.5's sizes. Its two largest would take 105 MB in float16 for 3 % of a step's work.
 */
const MOST_PHASE_BYTES = 16 * 2 ** 20;

/** Records a convolution as a product of the pixels' windows, which are nowhere in memory, and the weights (kernels/conv2d.wgsl.ts). */
export function implicitProduct(
  { x, w, bias, y, format, stride, edges, upsample, top, shift, residual, shortcut, activation }: Convolution,
  options: Pick<Conv2dOptions, "tile" | "slices" | "phases"> = {},
): void {
  const { device } = x;
  const [batch, height, width, cin] = x.shape;
  const [, outHeight, outWidth, cout] = y.shape;
  const [kernelHeight, kernelWidth] = w?.shape ?? [0, 0];
  const sources = shortcut?.sources ?? [];
  const [cinShortcut = 0, cinSkip = 0] = sources.map((source) => source.shape.at(-1)!);
  const flags = {
    shift: !shift ? ("none" as const) : batch > 1 && shift.stride > 0 ? ("own" as const) : ("same" as const),
    residual: Boolean(residual),
    shortcut: sources.length as 0 | 1 | 2,
  };
  const plain = options.tile ? options.tile.by === "plain" : device.plainKernels;
  const phases =
    w !== null &&
    upsample &&
    !shortcut &&
    !plain &&
    (options.phases ?? (2 * y.size * cin * kernelHeight * kernelWidth >= WORTH_PHASES && mayKeepPhases(w))) &&
    fitsPhases(w, stride, edges);
  // In phases all numbers are those of one of them, which has as many pixels as the small image.
  const weights = phases ? phaseWeights(w) : (w ?? shortcut!.weight);
  const [kh, kw] = phases ? [2, 2] : [kernelHeight, kernelWidth];
  const [oh, ow] = phases ? [outHeight / 2, outWidth / 2] : [outHeight, outWidth];
  const m = batch * oh * ow;
  const product = productShape({
    pixels: phases ? 4 * m : m,
    taps: kh * kw,
    cin,
    cout,
    others: [cinShortcut, cinSkip],
    format,
    xBytes: Math.max(x.bytes, ...sources.map(({ bytes }) => bytes)),
    wBytes: Math.max(weights.bytes, shortcut?.weight.bytes ?? 0),
  });
  const { tile, slices: wanted = 1 } = options.tile
    ? { tile: options.tile, slices: options.slices }
    : phases
      ? { tile: chooseTile(device, product) }
      : chooseSlicedTile(device, product);
  if (wanted > 1 && (phases || tile.by === "plain"))
    throw new RangeError(`conv2d: slices take a tiled kernel and no phases, got ${shown(tile)}`);
  const slices = wholeSlices(tile, cin, wanted);
  const split = slices > 1;
  const sums = split ? Tensor.empty(device, [slices, m, cout], "float32") : null;
  const finish = split
    ? { ...flags, shift: "none" as const, residual: false, activation: "none" as const, split }
    : { ...flags, activation, split };
  const terms = [
    ...(split ? [] : [shift?.tensor, residual].filter((term) => term !== undefined)),
    ...(shortcut ? [weightsOf(shortcut.weight, tile), shortcut.bias, ...sources] : []),
  ];
  const ordered = weightsOf(weights, tile);
  const slots = phases ? 4 : slices;
  const flopsPerRow = 2 * cout * product.k * (phases ? 4 : 1);
  const costPerRow = (flopsPerRow / cout) * Math.max(cout, NARROW);
  for (const [start, count] of rowRuns(device, m, costPerRow, rowUnit(tile), mostRows(device, tile))) {
    device.run({
      kernel,
      variant: { format, ...tileVariant(device, tile), fma: device.fusedMultiplyAdd, ...finish, phases },
      values: {
        height,
        width,
        cin,
        cout,
        out_height: oh,
        out_width: ow,
        kernel_height: kh,
        kernel_width: kw,
        slices,
        stride,
        upsample: upsample && !phases ? 1 : 0,
        pad_top: phases ? smallTop(top) : top,
        pad_left: edges[2],
        m,
        row_start: start,
        row_end: start + count,
        cin_shortcut: cinShortcut,
        cin_skip: cinSkip,
        shift_stride: shift?.stride ?? 0,
        shift_start: shift?.start ?? 0,
      },
      buffers: [x, ordered, bias, sums ?? y, ...terms],
      grid: [...tileGrid(device, count, cout, tile), slots],
      flops: flopsPerRow * count,
    });
  }
  if (sums) {
    const added = { bias, other_bias: shortcut?.bias, shift, residual };
    mergeSlices(sums, y, { format, activation, terms: added, rows: oh * ow });
  }
}

/** What a convolution as one product depends on: in phases `pixels` are those of all four, and `taps` those of one. */
export interface ConvolutionSizes extends Pick<ProductShape, "format" | "xBytes" | "wBytes"> {
  pixels: number;
  taps: number;
  cin: number;
  cout: number;
  /** Channels of the shortcut's sources; 0 for none. */
  others: readonly number[];
}

export function productShape({ pixels, taps, cin, cout, others, ...operands }: ConvolutionSizes): ProductShape {
  const k = others.reduce((sum, channels) => sum + channels, taps * cin);
  return { m: pixels, n: cout, k, run: commonDivisor(taps > 0 ? cin : 0, ...others), cut: cin, ...operands };
}

/** Weights, or what is known of them without having them. */
export type WeightsLike = Pick<Tensor, "shape" | "bytes" | "device">;

const phaseBytes = (w: WeightsLike): number => (w.bytes / 9) * 16;

/** Whether the weights of the phases may stay beside the weights. */
export const mayKeepPhases = (w: WeightsLike): boolean => phaseBytes(w) <= MOST_PHASE_BYTES;

/** Whether kernels/phase_weights.wgsl.ts has weights for it, and one binding holds them. */
export const fitsPhases = (w: WeightsLike, stride: number, edges: Edges): boolean =>
  isWhole3x3(w, stride) && keepsSize3x3(edges) && phaseBytes(w) <= w.device.limits.maxStorageBufferBindingSize;

/** A 3x3 kernel of stride 1 and whole quads on both sides: what has ways of fewer multiply-adds. */
export function isWhole3x3(
  { shape: [kernelHeight, kernelWidth, cin, cout] }: Pick<Tensor, "shape">,
  stride: number,
): boolean {
  return kernelHeight === 3 && kernelWidth === 3 && stride === 1 && cin % 4 === 0 && cout % 4 === 0;
}

/** Rows of zeros above the small image for as many above the doubled one, of a 3x3 kernel: its window begins in an odd row there. */
export const smallTop = (top: number): number => (top + 1) / 2;

/** Whether a 3x3 convolution of stride 1 gives as many pixels as it takes. */
export const keepsSize3x3 = (edges: Edges): boolean => edges.every((side) => side === 1);
