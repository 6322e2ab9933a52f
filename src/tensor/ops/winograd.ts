import { placesOf } from "../../../kernels/winograd.js";
import { winogradInput } from "../../../kernels/winograd_input.wgsl.js";
import { winogradOutput } from "../../../kernels/winograd_output.wgsl.js";
import { winogradProducts } from "../../../kernels/winograd_products.wgsl.js";
import { Tensor } from "../tensor.js";
import type { Conv2dOptions, Convolution } from "./conv2d.js";
import { implicitProduct } from "./conv2d_product.js";
import { runStream } from "./streams.js";
import { chooseTile, rowUnit, tileGrid, tileVariant, type Tile } from "./tiling.js";
import { bytesOf, partsOf, weightsAt } from "./winograd_weights.js";

/** Work from which it is worth the kernels that it takes to compile. */
const WORTH = 3e8;
/** Multiply-adds of a tile that are saved for each place of its basis. */
const SAVED = { all: 20 / 16, upsampled: 7 / 9 };
/** What a place of the weights costs when they are made, in multiply-adds of so many tiles: one image of 8 x 8 pixels loses by it, two gain. */
const TILES = 24;
/** Bytes that the image and the sums in the basis take at once. */
const RUN_BYTES = 16 * 2 ** 20;

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
  const [kernelHeight, kernelWidth, cin, cout] = w.shape;
  const fits =
    kernelHeight === 3 &&
    kernelWidth === 3 &&
    stride === 1 &&
    cin % 4 === 0 &&
    cout % 4 === 0 &&
    (!upsample || edges.every((side) => side === 1)) &&
    options.tile?.by !== "plain" &&
    !device.plainKernels;
  if (options.winograd && !fits)
    throw new RangeError(
      `conv2d: Winograd's filtering takes 3x3 kernels of stride 1 and whole quads, got ${String(w)}, stride ${stride}`,
    );
  if (options.winograd !== undefined) return options.winograd;
  if (!fits || options.tile || options.phases !== undefined || 18 * pixels * cin * cout < WORTH) return false;
  // At each place a tile costs cin numbers of the image and cout sums, and all tiles together cin * cout weights.
  const channels = (cin * cout) / (cin + cout);
  const cost = device.winogradChannels / channels + (4 * TILES) / pixels;
  return SAVED[upsample ? "upsampled" : "all"] >= cost;
}

/** Records a convolution of which `takesWinograd` is true. */
export function winograd(convolution: Convolution, options: Pick<Conv2dOptions, "tile"> = {}): void {
  const { x, y, format, edges, upsample: upsampled, shortcut, shift, activation } = convolution;
  const w = convolution.w!;
  const { device } = x;
  const [, , cin, cout] = w.shape;
  const [batch, height, width] = y.shape;
  const places = placesOf(upsampled) ** 2;
  const across = Math.ceil(width / 2);
  const down = Math.ceil(height / 2);
  const parts = partsOf(w, upsampled);
  const { tile, most } = runsOf(convolution, batch * down * across, bytesOf(w, parts[0].count), options.tile);
  // The shortcut has nothing to filter: it is a product of its own, with both biases.
  const added = shortcut && Tensor.empty(device, y.shape, y.dtype);
  if (shortcut && added)
    implicitProduct({
      ...convolution,
      x: shortcut.sources[0],
      w: null,
      y: added,
      stride: 1,
      upsample: false,
      activation: "none",
    });
  const bias = shortcut ? undefined : convolution.bias;
  const residual = added ?? convolution.residual;
  const terms = [bias, shift?.tensor, residual].filter((term) => term !== undefined);
  // Made once for all runs, if they are at all.
  const all = parts.length === 1 ? weightsAt(w, upsampled, parts[0], tile) : null;
  for (let first = 0; first < batch * down * across; first += most) {
    const count = Math.min(most, batch * down * across - first);
    const run = { first, across, down };
    const image = Tensor.empty(device, [places, count, cin], x.dtype);
    runStream(device, (count * cin) / 4, {
      kernel: winogradInput,
      variant: { format, upsampled },
      values: {
        ...{ columns: cin / 4, ...run, height: x.shape[1], width: x.shape[2] },
        ...{ pad_top: edges[0], pad_left: edges[2] },
      },
      buffers: [x, image],
    });
    const sums = Tensor.empty(device, [places, count, cout], "float32");
    for (const part of parts) {
      const { weights, done } = all ?? weightsAt(w, upsampled, part, tile);
      const flops = 2 * count * cin * cout;
      const slots = Math.max(1, Math.floor(device.flopsBudget / flops));
      for (let at = 0; at < part.count; at += slots) {
        const own = Math.min(slots, part.count - at);
        device.run({
          kernel: winogradProducts,
          variant: { format, ...tileVariant(device, tile), fma: device.fusedMultiplyAdd },
          values: {
            ...{ m: count, n: cout, k: cin, row_start: 0, row_end: count },
            ...{ place: part.first + at, place_w: at, places_w: part.count },
          },
          buffers: [image, weights, sums],
          grid: [...tileGrid(device, count, cout, tile), own],
          flops: own * flops,
        });
      }
      if (!all) done();
    }
    image.dispose();
    runStream(device, (count * cout) / 4, {
      kernel: winogradOutput,
      variant: { format, upsampled, activation, bias: !shortcut, shift: Boolean(shift), residual: Boolean(residual) },
      values: {
        ...{ columns: cout / 4, ...run, height, width },
        ...{ shift_stride: shift?.stride ?? 0, shift_start: shift?.start ?? 0 },
      },
      buffers: [sums, y, ...terms],
    });
    sums.dispose();
  }
  all?.done();
  added?.dispose();
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
  const cin = x.shape[3];
  const cout = y.shape[3];
  const fit = Math.floor(RUN_BYTES / places / (cin * x.itemSize + 4 * cout));
  const most = Math.min(tiles, fit, Math.floor(device.flopsBudget / (2 * cin * cout)));
  const shape = { m: most, n: cout, k: cin, times: places, halves: format === "f16" };
  const tile = wanted ?? chooseTile(device, { ...shape, xBytes: places * most * cin * x.itemSize, wBytes });
  const unit = rowUnit(tile);
  const runs = Math.ceil(tiles / Math.max(unit, most));
  return { tile, most: Math.ceil(tiles / runs / unit) * unit };
}
