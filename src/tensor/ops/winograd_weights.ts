import { quadsAcross } from "../../../kernels/tile_parts.js";
import { placesOf } from "../../../kernels/winograd.js";
import { winogradWeights as kernel } from "../../../kernels/winograd_weights.wgsl.js";
import { range } from "../../../kernels/wgsl.js";
import { formatOf } from "../dtype.js";
import { Reordered } from "../reordered.js";
import { Tensor } from "../tensor.js";
import { runStream } from "./streams.js";
import { tileVariant, type Tile } from "./tiling.js";

/** Places of some lines of the basis: `count` from `first` on. */
export interface Places {
  first: number;
  count: number;
  lines: readonly number[];
}

/** Bytes of weights in the basis that are made at once, of whole lines; and up to which those of all places stay with the weights. */
const MOST_AT_ONCE = 32 * 2 ** 20;
const MOST_KEPT = 2 ** 20;

/** All places, in parts whose weights are made at once. */
export function partsOf(w: Tensor, upsampled: boolean): Places[] {
  const side = placesOf(upsampled);
  const most = Math.max(1, Math.floor(MOST_AT_ONCE / bytesOf(w, side)));
  // As even as can be.
  const size = Math.ceil(side / Math.ceil(side / most));
  return range(Math.ceil(side / size)).map((part) => {
    const lines = range(side).slice(part * size, (part + 1) * size);
    return { first: lines[0] * side, count: lines.length * side, lines };
  });
}

export const bytesOf = (w: Tensor, places: number): number => (w.bytes / 9) * places;

/**
 * The weights of some places, as a tile reads them. They are made in each run, for a fraction of the time that they save, and take memory
 * while it lasts; small ones are kept.
 * @param w [3, 3, cin, cout]
 * @returns done: to be called when all is recorded that reads them
 */
export function weightsAt(
  w: Tensor,
  upsampled: boolean,
  places: Places,
  tile: Tile,
): { weights: Tensor | Reordered; done: () => void } {
  const { panels, ...variant } = tileVariant(w.device, tile);
  const name = `winograd ${upsampled ? "upsampled " : ""}${places.lines.join()}`;
  if (panels) {
    const width = quadsAcross(variant);
    const order = `${name}, panels of ${width}`;
    return { weights: new Reordered(w, order, () => make(w, upsampled, places, width)), done: () => undefined };
  }
  const columns = w.shape[3] / 4;
  if (bytesOf(w, placesOf(upsampled) ** 2) <= MOST_KEPT)
    return {
      weights: w.memo(upsampled ? UPSAMPLED : ALL, () => [make(w, upsampled, places, columns)])[0],
      done: () => undefined,
    };
  const weights = make(w, upsampled, places, columns);
  return { weights, done: () => weights.dispose() };
}

/** Keys of what is kept. */
const ALL = {};
const UPSAMPLED = {};

function make(w: Tensor, upsampled: boolean, { count, lines }: Places, width: number): Tensor {
  const { device, dtype } = w;
  const [, , cin, cout] = w.shape;
  const columns = cout / 4;
  const panels = Math.ceil(columns / width);
  const y = Tensor.empty(device, [panels, count, cin, 4 * width], dtype);
  runStream(device, panels * cin * width, {
    kernel,
    variant: { format: formatOf(dtype, device, "winograd"), upsampled, lines },
    values: { cin, columns, width },
    buffers: [w, y],
    accesses: 9 + count,
  });
  return y;
}
