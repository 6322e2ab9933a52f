import type { Activation } from "../../../kernels/activation.js";
import { modulate as kernel } from "../../../kernels/modulate.wgsl.js";
import type { Operand } from "../columns.js";
import { Tensor } from "../tensor.js";
import { formatFor, quadsOf, rowPlace } from "./common.js";
import { runStream } from "./streams.js";

/**
 * activation(x * (1 + scale) + shift), with a scale and a shift per image and channel.
 * @param x [batch, …, channels]
 * @param table [batch, 2 * channels], or [1, 2 * channels] for all images: the scales, then the shifts
 */
export function modulate(x: Tensor, table: Operand, { activation = "none" }: { activation?: Activation } = {}): Tensor {
  const batch = x.shape[0];
  const channels = x.shape.at(-1) ?? 0;
  const place = rowPlace("modulate", "table", table, [batch, 2 * channels]);
  const { device } = x;
  const y = Tensor.empty(device, x.shape, x.dtype);
  runStream(device, quadsOf(y), {
    kernel,
    variant: { format: formatFor("modulate", x, place.tensor), aligned: channels % 4 === 0, activation },
    values: {
      size: x.size,
      spatial: x.size / Math.max(1, batch * channels),
      channels,
      table_stride: place.stride,
      table_start: place.start,
    },
    buffers: [x, place.tensor, y],
  });
  return y;
}
