import { attention } from "../../tensor/ops/attention.js";
import { slice } from "../../tensor/ops/copy.js";
import { linearCombination } from "../../tensor/ops/elementwise.js";
import type { Tensor } from "../../tensor/tensor.js";

/** [batch, height, width, channels] to [batch, 1, 1, channels]: what attention gives a query that likes all pixels equally. */
export function meanOfPixels(x: Tensor): Tensor {
  const [batch, height, width, channels] = x.shape;
  const pixels = x.reshape([batch, height * width, channels]);
  // Zeros that are computed: a recorded step makes no tensor of numbers.
  const query = linearCombination([[0, slice(pixels, 1, 0, 1)]]);
  return attention(query, pixels, pixels, { heads: 1 }).reshape([batch, 1, 1, channels]);
}
