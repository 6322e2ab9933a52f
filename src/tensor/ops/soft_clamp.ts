import { softClamp as kernel, WORKGROUP_SIZE } from "../../../kernels/soft_clamp.wgsl.js";
import { Tensor } from "../tensor.js";
import { foldedGrid, formatFor, quadsOf } from "./common.js";

/** bound * tanh(x / bound) of every element: near 0 it is x, far away it is ±bound. */
export function softClamp(x: Tensor, bound: number): Tensor {
  if (!(bound > 0 && Number.isFinite(bound)))
    throw new RangeError(`softClamp: the bound must be positive, got ${bound}`);
  const format = formatFor("softClamp", x);
  const y = Tensor.empty(x.device, x.shape, x.dtype);
  const quads = quadsOf(y);
  x.device.run({
    kernel,
    variant: { format },
    values: { quads, bound },
    buffers: [x, y],
    grid: foldedGrid(Math.ceil(quads / WORKGROUP_SIZE)),
  });
  return y;
}
