import type { Activation } from "../../../kernels/activation.js";
import { modulate as kernel, WORKGROUP_SIZE } from "../../../kernels/modulate.wgsl.js";
import { Tensor } from "../tensor.js";
import { expectShape, foldedGrid, formatFor, quadsOf } from "./common.js";

/**
 * activation(x * (1 + scale) + shift), with a scale and a shift per image and channel.
 * @param x [batch, …, channels]
 * @param table [batch, 2 * channels]: the scales, then the shifts
 */
export function modulate(x: Tensor, table: Tensor, { activation = "none" }: { activation?: Activation } = {}): Tensor {
  const batch = x.shape[0];
  const channels = x.shape.at(-1) ?? 0;
  expectShape("modulate", "table", table, [batch, 2 * channels]);
  const { device } = x;
  const y = Tensor.empty(device, x.shape, x.dtype);
  const quads = quadsOf(y);
  device.run({
    kernel,
    variant: { format: formatFor("modulate", x, table), aligned: channels % 4 === 0, activation },
    values: { quads, size: x.size, spatial: x.size / Math.max(1, batch * channels), channels },
    buffers: [x, table, y],
    grid: foldedGrid(Math.ceil(quads / WORKGROUP_SIZE)),
  });
  return y;
}
