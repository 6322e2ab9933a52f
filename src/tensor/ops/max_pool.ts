import { maxPool as kernel } from "../../../kernels/max_pool.wgsl.js";
import { Tensor } from "../tensor.js";
import { formatFor, quadsOf } from "./common.js";
import type { Edges } from "./conv2d.js";
import { equalParts } from "./equal_parts.js";
import { runStream } from "./streams.js";

export interface MaxPoolOptions {
  /** Pixels along each side of a window, and from one to the next. */
  kernel: number;
  stride: number;
  /** Zeros around the input, which count: torch.nn.functional.pad before the pooling, unlike torch's padding of max_pool2d. */
  padding?: Edges;
}

/**
 * torch.nn.functional.max_pool2d on NHWC; windows that reach beyond the padding are left out. With a kernel of 1 it pads.
 * @param x [batch, height, width, channels]
 */
export function maxPool(
  x: Tensor,
  { kernel: side, stride, padding: [top, bottom, left, right] = [0, 0, 0, 0] }: MaxPoolOptions,
): Tensor {
  const [batch, height, width, channels] = x.shape;
  const outHeight = Math.floor((height + top + bottom - side) / stride) + 1;
  const outWidth = Math.floor((width + left + right - side) / stride) + 1;
  if (x.shape.length !== 4 || !(outHeight > 0 && outWidth > 0))
    throw new RangeError(
      `maxPool: [${x.shape.join(", ")}] is no [batch, height, width, channels] of at least ${side} x ${side} pixels`,
    );
  const y = Tensor.empty(x.device, [batch, outHeight, outWidth, channels], x.dtype);
  for (const part of equalParts([x, y], 1, batch)) {
    const to = part(y);
    runStream(x.device, quadsOf(to), {
      kernel,
      variant: { format: formatFor("maxPool", x), aligned: channels % 4 === 0 },
      values: {
        size: to.size,
        height,
        width,
        channels,
        out_height: outHeight,
        out_width: outWidth,
        kernel: side,
        stride,
        top,
        left,
      },
      buffers: [part(x), to],
      accesses: side * side + 1,
    });
  }
  return y;
}
