/** Convolutions whose tensors an adapter cannot bind whole (WebGPU's default is 128 MiB): bands of rows, which need no other numbers. */
import { product } from "../dtype.js";
import { ALIGNMENT } from "../memory.js";
import { Part } from "../part.js";
import type { Tensor } from "../tensor.js";
import { commonDivisor } from "./common.js";
import type { Convolution } from "./conv2d.js";

/** Rows of a band are multiples of it, so that Winograd's filtering has whole tiles and doubled rows stay together. */
const PAIR = 2;

/** The convolution itself where its tensors can be bound, or where no band could be; else bands of each image. */
export function bandsOf(convolution: Convolution<Tensor>): Convolution[] {
  const { x, y, residual, shortcut } = convolution;
  const [batch, height] = y.shape;
  const limit = x.device.limits.maxStorageBufferBindingSize;
  const beside = [y, ...(residual ? [residual] : []), ...(shortcut?.sources ?? [])];
  if ([x, ...beside].every(({ bytes }) => bytes <= limit)) return [convolution];
  // Both are powers of two.
  const unit = Math.max(PAIR, ...beside.map(startRows));
  const most = Math.min(rowsFrom(convolution, limit), ...beside.map((each) => limit / rowBytes(each)));
  const canStart = batch === 1 || [x, ...beside].every((each) => each.shape[1] % startRows(each) === 0);
  if (most < unit || !canStart) return [convolution];
  const count = Math.ceil(height / (Math.floor(most / unit) * unit));
  const rows = Math.ceil(height / count / unit) * unit;
  const bands: Convolution[] = [];
  for (let image = 0; image < batch; image++)
    for (let from = 0; from < height; from += rows)
      bands.push(bandOf(convolution, image, from, Math.min(height, from + rows)));
  return bands;
}

const rowBytes = ({ shape, itemSize }: Tensor): number => product(shape.slice(2)) * itemSize;

/** A binding may begin at every so many rows of an image. */
const startRows = (x: Tensor): number => ALIGNMENT / commonDivisor(ALIGNMENT, rowBytes(x));

/** Rows of the result for which so many bytes of x are enough, wherever they begin. */
function rowsFrom({ x, w, stride, upsample }: Convolution<Tensor>, bytes: number): number {
  const rows = Math.floor(bytes / rowBytes(x)) - startRows(x);
  return ((upsample ? 2 : 1) * rows - (w?.shape[0] ?? 1)) / stride;
}

/** Rows [from, to) of an image's result. */
function bandOf(convolution: Convolution<Tensor>, image: number, from: number, to: number): Convolution {
  const { x, w, y, stride, edges, upsample, shift, residual, shortcut } = convolution;
  const zoom = upsample ? 2 : 1;
  // Of the (doubled) input: the first row that is read, and the last.
  const top = from * stride - edges[0];
  const bottom = (to - 1) * stride - edges[0] + (w?.shape[0] ?? 1) - 1;
  const inside = (row: number): number => Math.min(x.shape[1] - 1, Math.max(0, Math.floor(row / zoom)));
  const first = Math.floor(inside(top) / startRows(x)) * startRows(x);
  const rows = (each: Tensor): Part => rowsOf(each, image, from, to);
  return {
    ...convolution,
    x: rowsOf(x, image, first, inside(bottom) + 1),
    y: rows(y),
    top: zoom * first - top,
    shift: shift && { ...shift, start: shift.start + image * shift.stride },
    residual: residual && rows(residual),
    shortcut: shortcut && { ...shortcut, sources: shortcut.sources.map(rows) },
  };
}

function rowsOf(x: Tensor, image: number, from: number, to: number): Part {
  const [, height, ...rest] = x.shape;
  return new Part(x, (image * height + from) * product(rest), [1, to - from, ...rest]);
}
