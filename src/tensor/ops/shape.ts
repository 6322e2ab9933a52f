/** Ops that move elements without arithmetic: embedding, resize, concatenation. */
import { concat as concatKernel } from "../../../kernels/concat.wgsl.js";
import { embedding as embeddingKernel } from "../../../kernels/embedding.wgsl.js";
import { upsample as upsampleKernel } from "../../../kernels/upsample.wgsl.js";
import { bitsOf } from "../../../kernels/wgsl.js";
import { product } from "../dtype.js";
import { Tensor } from "../tensor.js";
import { expectShape, formatFor, quadsOf } from "./common.js";
import { equalParts } from "./equal_parts.js";
import { runStream } from "./streams.js";

/**
 * Rows of a table by id, plus the row of their place in the sequence.
 * @param ids int32 [batch, tokens], each below the table's rows (checked by the caller; others are clamped)
 * @param table [rows, width]; may be larger than the adapter's binding limit
 * @param position [at least tokens, width]
 * @returns [batch, tokens, width]
 */
export function embedding(ids: Tensor, table: Tensor, position?: Tensor): Tensor {
  const { device } = table;
  const [rows, width] = table.shape;
  const [batch, tokens] = ids.shape;
  if (ids.dtype !== "int32" || ids.shape.length !== 2)
    throw new TypeError(`embedding: ids must be int32 [batch, tokens], got ${String(ids)}`);
  if (position && (position.shape[0] < tokens || position.shape[1] !== width))
    throw new RangeError(
      `embedding: ${tokens} tokens of width ${width} do not fit positions [${position.shape.join(", ")}]`,
    );
  const format = formatFor("embedding", table, position);
  const rowBytes = width * table.itemSize;
  const limit = device.limits.maxStorageBufferBindingSize;
  // Windows of a multiple of 256 rows keep binding offsets aligned.
  const window = table.bytes <= limit ? rows : Math.floor(limit / rowBytes / 256) * 256;
  if (window < rows && (width % 4 !== 0 || window === 0))
    throw new RangeError(`embedding: a table of rows of ${width} cannot be bound in windows of ${limit} bytes`);
  const y = Tensor.empty(device, [batch, tokens, width], table.dtype);
  for (let first = 0; first < rows; first += window) {
    const count = Math.min(window, rows - first);
    const range = { block: table.block, offset: first * rowBytes, size: count * rowBytes };
    runStream(device, quadsOf(y), {
      kernel: embeddingKernel,
      variant: { format },
      values: {
        width,
        tokens,
        count: batch * tokens,
        first_row: first,
        rows: count,
        table_rows: rows,
        has_position: position ? 1 : 0,
      },
      buffers: [ids, window === rows ? table : range, position ?? y.device.dummy(table.dtype), y],
    });
  }
  return y;
}

/**
 * torch.nn.functional.interpolate(mode="nearest") on NHWC.
 * @param x [batch, height, width, channels]
 * @param size of the result
 */
export function upsampleNearest(x: Tensor, [outHeight, outWidth]: readonly [height: number, width: number]): Tensor {
  const [batch, height, width, channels] = x.shape;
  if (x.shape.length !== 4 || outHeight < 1 || outWidth < 1)
    throw new RangeError(
      `upsampleNearest: takes [batch, height, width, channels] and a size of pixels, got [${x.shape.join(", ")}] and ${outHeight} x ${outWidth}`,
    );
  const format = bitsOf(formatFor("upsampleNearest", x));
  const y = Tensor.empty(x.device, [batch, outHeight, outWidth, channels], x.dtype);
  // Where rows are doubled, those of a part are, too, with the same roundings.
  const parts = equalParts([x, y], outHeight === 2 * height ? height : 1, batch);
  const perImage = Math.max(1, parts.length / batch);
  for (const part of parts) {
    const to = part(y);
    runStream(x.device, quadsOf(to), {
      kernel: upsampleKernel,
      variant: { format, aligned: channels % 4 === 0 },
      values: {
        size: to.size,
        width,
        channels,
        out_width: outWidth,
        height: height / perImage,
        out_height: outHeight / perImage,
        scale_y: Math.fround(height / outHeight),
        scale_x: Math.fround(width / outWidth),
      },
      buffers: [part(x), to],
    });
  }
  return y;
}

/** torch.cat of two tensors along an axis. */
export function concat(a: Tensor, b: Tensor, axis: number): Tensor {
  const at = axis < 0 ? axis + a.shape.length : axis;
  if (!Number.isInteger(at) || at < 0 || at >= a.shape.length)
    throw new RangeError(`concat: axis ${axis} is not one of [${a.shape.join(", ")}]`);
  expectShape(
    "concat",
    "b, but for the joined axis,",
    b,
    a.shape.map((n, i) => (i === at ? (b.shape[i] ?? -1) : n)),
  );
  const format = bitsOf(formatFor("concat", a, b));
  const shape = a.shape.map((n, i) => (i === at ? n + b.shape[i] : n));
  const y = Tensor.empty(a.device, shape, a.dtype);
  const values = { size: y.size, width_a: product(a.shape.slice(at)), width_b: product(b.shape.slice(at)) };
  runStream(a.device, quadsOf(y), {
    kernel: concatKernel,
    variant: { format, aligned: values.width_a % 4 === 0 && values.width_b % 4 === 0 },
    values,
    buffers: [a, b, y],
  });
  return y;
}
