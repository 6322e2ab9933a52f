/** Launches the layer norm kernels of CPU adapters. */
import { rowMoments, rowsApply } from "../../../kernels/layer_norm_rows.wgsl.js";
import type { Format } from "../../../kernels/wgsl.js";
import { Tensor } from "../tensor.js";
import { threadGrid } from "./common.js";
import { stripes } from "./stripes.js";

export interface LayerNormCall {
  x: Tensor;
  weight: Tensor;
  bias: Tensor;
  format: Format;
  eps: number;
}

/** y [..., width]; the width fills quads. `held`: see `stripes`. */
export function layerNormByRows({ x, weight, bias, format, eps }: LayerNormCall, held?: number): Tensor {
  const { device } = x;
  const quads = x.shape.at(-1)! / 4;
  const rows = x.size / 4 / quads;
  const moments = Tensor.empty(device, [rows, 2], "float32");
  device.run({
    kernel: rowMoments,
    variant: { format, unroll: [4, 2].find((n) => quads % n === 0) ?? 1 },
    values: { rows, quads, eps },
    buffers: [x, moments],
    grid: threadGrid(rows),
  });
  const y = Tensor.empty(device, x.shape, x.dtype);
  const { stripe, values, grid } = stripes(device, [quads], { images: 1, spatial: rows }, held);
  device.run({
    kernel: rowsApply,
    variant: { format, ...stripe },
    values,
    buffers: [x, weight, bias, moments, y],
    grid,
  });
  moments.dispose();
  return y;
}
