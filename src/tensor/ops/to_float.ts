import { toFloat as kernel, WORKGROUP_SIZE } from "../../../kernels/to_float.wgsl.js";
import { Tensor } from "../tensor.js";
import { foldedGrid, quadsOf } from "./common.js";
import { cast } from "./copy.js";

/** The numbers of x in float32: x itself where it is so already. */
export function toFloat(x: Tensor): Tensor {
  if (x.dtype === "float32") return x;
  if (x.dtype !== "int32") return cast(x, "float32");
  const y = Tensor.empty(x.device, x.shape, "float32");
  const quads = quadsOf(y);
  x.device.run({
    kernel,
    variant: {},
    values: { quads },
    buffers: [x, y],
    grid: foldedGrid(Math.ceil(quads / WORKGROUP_SIZE)),
  });
  return y;
}
