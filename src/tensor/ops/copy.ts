import { copy as kernel, type SourceFormat } from "../../../kernels/copy.wgsl.js";
import { bitsOf } from "../../../kernels/wgsl.js";
import { Columns, placeOf, type Operand } from "../columns.js";
import type { Device } from "../device.js";
import { formatOf, product, type DType } from "../dtype.js";
import type { Block } from "../memory.js";
import { Tensor } from "../tensor.js";
import { runStream } from "./streams.js";

export type { SourceFormat };

/** A dense tensor gathered from `source` by strides: up to four axes, strides and offset in elements. */
export interface Gather {
  shape: readonly number[];
  strides: readonly number[];
  offset?: number;
}

/**
 * Runs one gather into `y`: into all of it, into `part` of its elements (start and count multiples of 128, but for the last),
 * or into columns of it. The source may be a block of raw file bytes in a format that tensors do not have.
 */
export function gatherInto(
  device: Device,
  source: { block: Block; offset?: number; size?: number } | Tensor,
  from: SourceFormat,
  to: Operand,
  { shape, strides, offset = 0 }: Gather,
  part?: { start: number; count: number },
): void {
  if (product(shape) === 0) return;
  const [n0, n1, n2, n3] = [1, 1, 1, 1, ...shape].slice(-4);
  const [s0, s1, s2, s3] = [0, 0, 0, 0, ...strides].slice(-4);
  const { tensor: y, stride, start } = placeOf(to);
  const size = part?.count ?? product(to.shape);
  const quads = Math.ceil(size / 4);
  if (to instanceof Columns && n3 !== to.count)
    throw new RangeError(`copy: ${String(to)} take rows of ${to.count}, got ${n3}`);
  const rows = { y_row: (to instanceof Columns ? stride : n3) >> 2, y_start: start / 4 };
  const whole = !part || size === y.size;
  const target = whole ? y : { block: y.block, offset: (part?.start ?? 0) * y.itemSize, size: quads * 4 * y.itemSize };
  const wanted = formatOf(y.dtype, device, "copy");
  // Halves lie alike in all their formats.
  const alike = from !== "bf16" && bitsOf(from) === bitsOf(wanted);
  const formats = alike ? { from: bitsOf(from), to: bitsOf(wanted) } : { from, to: wanted };
  const lanes = device.streamLanes;
  const isDown = lanes > 0 && n3 % (4 * lanes) === 0 && n2 > 1 && s2 < s3;
  runStream(device, quads, {
    kernel,
    variant: { ...formats, walk: n3 % 4 !== 0 || size % 4 !== 0 ? "elements" : isDown ? "down" : "rows" },
    values: { size, offset, n0, n1, n2, n3, s0, s1, s2, s3, ...rows },
    buffers: [source, target],
  });
}

function gather(x: Tensor, view: Gather, dtype: DType = x.dtype): Tensor {
  if (view.shape.length > 4) throw new RangeError(`copy: takes at most 4 axes, got [${view.shape.join(", ")}]`);
  const [from] = [x.dtype, dtype].map((type) => formatOf(type, x.device, "copy"));
  const y = Tensor.empty(x.device, view.shape, dtype);
  gatherInto(x.device, x, from, y, view);
  return y;
}

const denseStrides = (shape: readonly number[]): number[] => shape.map((_, i) => product(shape.slice(i + 1)));

/** torch.permute: axis i of the result is axis `axes[i]` of x. */
export function permute(x: Tensor, axes: readonly number[]): Tensor {
  if ([...axes].sort().join() !== x.shape.map((_, i) => i).join())
    throw new RangeError(
      `permute: [${axes.join(", ")}] is not an order of the ${x.shape.length} axes of [${x.shape.join(", ")}]`,
    );
  const strides = denseStrides(x.shape);
  return gather(x, { shape: axes.map((a) => x.shape[a]), strides: axes.map((a) => strides[a]) });
}

/** [batch, channels, height, width] to [batch, height, width, channels], the layout of every activation in here. */
export const toNHWC = (x: Tensor): Tensor => permute(x, [0, 2, 3, 1]);

/** [batch, height, width, channels] to diffusers' [batch, channels, height, width]. */
export const toNCHW = (x: Tensor): Tensor => permute(x, [0, 3, 1, 2]);

/** `count` elements of an axis from `start` on. */
export function slice(x: Tensor, axis: number, start: number, count: number): Tensor {
  if (!(start >= 0 && count >= 0 && start + count <= x.shape[axis]))
    throw new RangeError(`slice: ${start}..${start + count} of axis ${axis} is outside [${x.shape.join(", ")}]`);
  const strides = denseStrides(x.shape);
  const shape = x.shape.map((n, i) => (i === axis ? count : n));
  return gather(x, { shape, strides, offset: start * strides[axis] });
}

/** The same numbers in another floating dtype. Always a copy. */
export const cast = (x: Tensor, dtype: DType): Tensor =>
  gather(x, { shape: [x.size], strides: [1] }, dtype).reshapeOwned(x.shape);

/** Repeats each row of the first axis `count` times in a row, as torch.repeat_interleave(x, count, 0). */
export function repeatRows(x: Tensor, count: number): Tensor {
  const [rows, ...rest] = x.shape;
  const width = product(rest);
  const y = gather(x, { shape: [rows, count, width], strides: [width, 0, 1] });
  return y.reshapeOwned([rows * count, ...rest]);
}
