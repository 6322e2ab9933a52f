import { softClamp as kernel } from "../../../kernels/soft_clamp.wgsl.js";
import { Tensor } from "../tensor.js";
import { formatFor, quadsOf } from "./common.js";
import { runStream } from "./streams.js";

/** bound * tanh(x / bound) of every element: near 0 it is x, far away it is ±bound. */
export function softClamp(x: Tensor, bound: number): Tensor {
  if (!(bound > 0 && Number.isFinite(bound)))
    throw new RangeError(`softClamp: the bound must be positive, got ${bound}`);
  const format = formatFor("softClamp", x);
  const y = Tensor.empty(x.device, x.shape, x.dtype);
  runStream(x.device, quadsOf(y), {
    kernel,
    variant: { format },
    values: { bound },
    buffers: [x, y],
  });
  return y;
}
