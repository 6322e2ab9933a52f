import { toFloat as kernel } from "../../../kernels/to_float.wgsl.js";
import { Tensor } from "../tensor.js";
import { quadsOf } from "./common.js";
import { cast } from "./copy.js";
import { runStream } from "./streams.js";

/** The numbers of x in float32: x itself where it is so already. */
export function toFloat(x: Tensor): Tensor {
  if (x.dtype === "float32") return x;
  if (x.dtype !== "int32") return cast(x, "float32");
  const y = Tensor.empty(x.device, x.shape, "float32");
  runStream(x.device, quadsOf(y), {
    kernel,
    variant: {},
    values: {},
    buffers: [x, y],
  });
  return y;
}
