import { mixTokens as kernel } from "../../../kernels/mix_tokens.wgsl.js";
import { formatOf, type DType } from "../dtype.js";
import { Tensor } from "../tensor.js";
import { quadsOf } from "./common.js";
import { runStream } from "./streams.js";

/**
 * y[b, j, c] = Σᵢ w[i, j] x[b, i, c]; sums in float32.
 * @param x [batch, n, channels]
 * @param w float32 [n, m], the same for every image
 * @param dtype of the result; by default that of x
 * @returns [batch, m, channels]
 */
export function mixTokens(x: Tensor, w: Tensor, { dtype = x.dtype }: { dtype?: DType } = {}): Tensor {
  const { device } = x;
  const [batch, n, channels] = x.shape;
  if (x.shape.length !== 3 || w.shape.length !== 2 || w.shape[0] !== n || w.dtype !== "float32")
    throw new RangeError(
      `mixTokens: takes x [batch, n, channels] and float32 w [n, m], got ${String(x)}, ${String(w)}`,
    );
  const y = Tensor.empty(device, [batch, w.shape[1], channels], dtype);
  const [from, to] = [x.dtype, dtype].map((type) => formatOf(type, device, "mixTokens"));
  runStream(device, quadsOf(y), {
    kernel,
    variant: { from, to, aligned: channels % 4 === 0 },
    values: { size: y.size, n, m: w.shape[1], channels },
    buffers: [x, w, y],
  });
  return y;
}
