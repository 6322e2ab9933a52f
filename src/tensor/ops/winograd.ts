import { placesOf } from "../../../kernels/winograd.js";
import { winogradInput } from "../../../kernels/winograd_input.wgsl.js";
import { winogradOutput } from "../../../kernels/winograd_output.wgsl.js";
import { winogradProducts } from "../../../kernels/winograd_products.wgsl.js";
import type { Region } from "../part.js";
import type { Reordered } from "../reordered.js";
import { Tensor } from "../tensor.js";
import type { Conv2dOptions, Convolution } from "./conv2d.js";
import { implicitProduct, isWhole3x3, keepsSize3x3, smallTop } from "./conv2d_product.js";
import { runStream } from "./streams.js";
import { chooseTile, rowUnit, tileGrid, tileVariant, type Tile } from "./tiling.js";
import { bytesOf, partsOf, weightsAt, type Places } from "./winograd_weights.js";

/** Work from which it is worth the kernels that it takes to compile. */
const WORTH = 3e8;
/** Multiply-adds of a tile that are saved for each place of its basis. */
const SAVED = { all: 20 / 16, upsampled: 7 / 9 };
/**
 * Numbers of an image, its result and, in bytes of them, what of both is in the basis: with more, only the least that is worth it is
 * there at once, so that a model of Stable Diffusion 1.5's size decodes to 512 x 512 in halves in less than 400 MB.
 */
const MOST_NUMBERS = 48 * 2 ** 20;
const LEAST_BYTES = 16 * 2 ** 20;

/**
 * Whether a convolution to so many `pixels` is done by Winograd's filtering (kernels/winograd.ts).
 * @param w [kernelHeight, kernelWidth, cin, cout]
 * @throws RangeError if `options` ask for it where it can't be
 */
export function takesWinograd(
  w: Tensor,
  pixels: number,
  { stride, edges, upsample }: Pick<Convolution, "stride" | "edges" | "upsample">,
  options: Conv2dOptions,
): boolean {
  const { device } = w;
  const [, , cin, cout] = w.shape;
  const fits =
    isWhole3x3(w, stride) && (!upsample || keepsSize3x3(edges)) && options.tile?.by !== "plain" && !device.plainKernels;
  if (options.winograd && !fits)
    throw new RangeError(
      `conv2d: Winograd's filtering takes 3x3 kernels of stride 1 and whole quads, got ${String(w)}, stride ${stride}`,
    );
  if (options.winograd !== undefined) return options.winograd;
  if (!fits || options.tile || options.phases !== undefined || 18 * pixels * cin * cout < WORTH) return false;
  // At each place a tile costs cin numbers of the image and cout sums, and all tiles together cin * cout weights.
  const channels = (cin * cout) / (cin + cout);
  const costs = device.winograd;
  const cost = costs.channels[w.itemSize < 4 ? "halves" : "floats"] / channels + (4 * costs.tiles) / pixels;
  return SAVED[upsample ? "upsampled" : "all"] >= cost;
}

/** Tiles of 2x2 pixels that go through the basis at once: `count` from `first` on, of `down` x `across` an image. */
interface TileRun {
  first: number;
  count: number;
  across: number;
  down: number;
}

/** Records a convolution of which `takesWinograd` is true. */
export function winograd(convolution: Convolution, options: Pick<Conv2dOptions, "tile"> = {}): void {
  const { y, upsample, shortcut } = convolution;
  const w = convolution.w!;
  const [batch, height, width] = y.shape;
  const [across, down] = [Math.ceil(width / 2), Math.ceil(height / 2)];
  const tiles = batch * down * across;
  const parts = partsOf(w, upsample);
  const { tile, most } = runsOf(convolution, tiles, bytesOf(w, parts[0].count), options.tile);
  const alone = shortcut && shortcutAlone(convolution, shortcut);
  // Weights of all places are made once for all runs, those of a part for each.
  const whole = parts.length === 1 ? weightsAt(w, upsample, parts[0], tile) : null;
  for (let first = 0; first < tiles; first += most) {
    const run = { first, count: Math.min(most, tiles - first), across, down };
    const image = toBasis(convolution, run);
    const sums = Tensor.empty(w.device, [image.shape[0], run.count, y.shape[3]], "float32");
    for (const part of parts) {
      const { weights, done } = whole ?? weightsAt(w, upsample, part, tile);
      multiply(convolution, tile, part, image, weights, sums);
      if (!whole) done();
    }
    image.dispose();
    fromBasis(convolution, run, sums, alone ?? convolution.residual);
    sums.dispose();
  }
  whole?.done();
  alone?.dispose();
}

/** The tile of the products, and how many of the image's tiles go through the basis at once. */
function runsOf(
  { x, y, format, upsample }: Convolution,
  tiles: number,
  wBytes: number,
  wanted?: Tile,
): { tile: Tile; most: number } {
  const { device } = x;
  const places = placesOf(upsample) ** 2;
  const [cin, cout] = [x.shape[3], y.shape[3]];
  const bytes = Math.min(device.winograd.bytes, Math.max(LEAST_BYTES, MOST_NUMBERS * x.itemSize - x.bytes - y.bytes));
  const fit = Math.floor(bytes / places / (cin * x.itemSize + 4 * cout));
  const most = Math.min(tiles, fit, Math.floor(device.flopsBudget / (2 * cin * cout)));
  const shape = { m: most, n: cout, k: cin, times: places, format };
  const tile = wanted ?? chooseTile(device, { ...shape, xBytes: places * most * cin * x.itemSize, wBytes });
  const unit = rowUnit(tile);
  const runs = Math.ceil(tiles / Math.max(unit, most));
  return { tile, most: Math.ceil(tiles / runs / unit) * unit };
}

/** The shortcut and both biases: there is nothing to filter in it. */
function shortcutAlone(convolution: Convolution, shortcut: NonNullable<Convolution["shortcut"]>): Tensor {
  const y = Tensor.empty(convolution.y.device, convolution.y.shape, convolution.y.dtype);
  const x = shortcut.sources[0];
  implicitProduct({ ...convolution, x, w: null, y, stride: 1, upsample: false, activation: "none" });
  return y;
}

/** [places, tiles, cin] */
function toBasis({ x, format, edges, top, upsample: upsampled }: Convolution, { count, ...run }: TileRun): Tensor {
  const { device, dtype } = x;
  const [, height, width, cin] = x.shape;
  const image = Tensor.empty(device, [placesOf(upsampled) ** 2, count, cin], dtype);
  runStream(device, (count * cin) / 4, {
    kernel: winogradInput,
    variant: { format, upsampled },
    values: { columns: cin / 4, ...run, height, width, pad_top: upsampled ? smallTop(top) : top, pad_left: edges[2] },
    buffers: [x, image],
    accesses: 2 * image.shape[0],
  });
  return image;
}

/** The products of some places, of as many in a dispatch as its budget allows. */
function multiply(
  { format }: Convolution,
  tile: Tile,
  { first, count }: Places,
  image: Tensor,
  weights: Tensor | Reordered,
  sums: Tensor,
): void {
  const { device } = image;
  const [, m, k] = image.shape;
  const n = sums.shape[2];
  const flops = 2 * m * k * n;
  const most = Math.max(1, Math.floor(device.flopsBudget / flops));
  for (let at = 0; at < count; at += most) {
    const slots = Math.min(most, count - at);
    device.run({
      kernel: winogradProducts,
      variant: { format, ...tileVariant(device, tile), fma: device.fusedMultiplyAdd },
      values: { m, n, k, place: first + at, place_w: at, places_w: count, row_start: 0, row_end: m },
      buffers: [image, weights, sums],
      grid: [...tileGrid(device, m, n, tile), slots],
      flops: slots * flops,
    });
  }
}

function fromBasis(
  { y, bias, format, upsample: upsampled, shortcut, shift, activation }: Convolution,
  { count, ...run }: TileRun,
  sums: Tensor,
  residual?: Region,
): void {
  const [, height, width, cout] = y.shape;
  const added = [shortcut ? undefined : bias, shift?.tensor, residual];
  runStream(y.device, (count * cout) / 4, {
    kernel: winogradOutput,
    variant: { format, upsampled, activation, bias: !shortcut, shift: Boolean(shift), residual: Boolean(residual) },
    values: {
      columns: cout / 4,
      ...run,
      height,
      width,
      shift_stride: shift?.stride ?? 0,
      shift_start: shift?.start ?? 0,
    },
    buffers: [sums, y, ...added.filter((term) => term !== undefined)],
    accesses: sums.shape[0] + 8,
  });
}
