import { standardize as kernel } from "../../../kernels/standardize.wgsl.js";
import { Tensor } from "../tensor.js";
import { expectShape, formatFor, quadsOf } from "./common.js";
import { runStream } from "./streams.js";

/**
 * (x - mean) / std of each column.
 * @param x [..., width]
 * @param moments both [1, width], of the dtype of x
 * @param options back: x * std + mean instead
 */
export function standardize(
  x: Tensor,
  { mean, std }: { mean: Tensor; std: Tensor },
  { back = false }: { back?: boolean } = {},
): Tensor {
  const width = x.shape.at(-1) ?? 0;
  for (const [name, each] of Object.entries({ mean, std })) expectShape("standardize", name, each, [1, width]);
  const y = Tensor.empty(x.device, x.shape, x.dtype);
  runStream(x.device, quadsOf(y), {
    kernel,
    variant: { format: formatFor("standardize", x, mean, std), back },
    values: { size: y.size, width },
    buffers: [x, mean, std, y],
  });
  return y;
}
