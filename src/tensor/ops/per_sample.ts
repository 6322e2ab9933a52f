import { mixSamples as kernel } from "../../../kernels/per_sample.wgsl.js";
import { Tensor } from "../tensor.js";
import { formatFor, quadsOf, sameShape } from "./common.js";
import { runStream } from "./streams.js";

/**
 * Per sample b of the first axis: coefficients[b][0] * x0[b] + coefficients[b][1] * x1[b].
 * @param coefficients as many pairs as the batch has samples
 */
export function mixSamples(x0: Tensor, x1: Tensor, coefficients: readonly (readonly [number, number])[]): Tensor {
  sameShape("mixSamples", x0, x1);
  const batch = x0.shape[0] ?? 1;
  if (coefficients.length !== batch)
    throw new RangeError(`mixSamples: needs one pair of coefficients per sample, ${batch}, got ${coefficients.length}`);
  const c = Tensor.from(coefficients.flat(), [batch, 2], { device: x0.device });
  const y = Tensor.empty(x0.device, x0.shape, x0.dtype);
  const { device } = x0;
  const values = { width: x0.size / batch, batch };
  runStream(device, quadsOf(y), {
    kernel,
    variant: { format: formatFor("mixSamples", x0, x1) },
    values,
    buffers: [x0, x1, c, y],
  });
  c.dispose();
  return y;
}
