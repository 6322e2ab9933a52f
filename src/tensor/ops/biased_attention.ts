import { biasedScores, biasedValues } from "../../../kernels/biased_attention.wgsl.js";
import type { Operand } from "../columns.js";
import { Tensor } from "../tensor.js";
import { attentionOperands } from "./attention_operands.js";
import { CHUNK_SCORES } from "./attention_scores.js";
import { softmax } from "./softmax.js";
import { runStream } from "./streams.js";

export interface BiasedAttentionOptions {
  heads: number;
  /** Query i sees keys 0 to i only, of those that the mask keeps. */
  causal?: boolean;
  /** float32 [batch, at most keys]: 1 keeps a key, 0 takes 10000 from its scores; keys beyond the mask are kept. */
  mask: Tensor;
}

/**
 * scaled_dot_product_attention with the bias that diffusers makes of an encoder_attention_mask; scores in float32. Of a text
 * encoder's attention_mask transformers makes the least float instead: the same, as far as a query has a key left.
 * Operands may be columns of wider matrices, which are read in place.
 * @param q [batch, queries, heads * d]
 * @param k [batch, keys, heads * d]
 * @param v [batch, keys, heads * d]
 * @returns [batch, queries, heads * d]
 */
export function biasedAttention(q: Operand, k: Operand, v: Operand, options: BiasedAttentionOptions): Tensor {
  const { heads, causal = false, mask } = options;
  const [batch, queries, channels] = q.shape;
  const keys = k.shape[1];
  const masked = mask.shape[1];
  if (mask.dtype !== "float32" || mask.shape.length !== 2 || mask.shape[0] !== batch || masked > keys)
    throw new RangeError(
      `biasedAttention: the mask must be float32 [${batch}, at most ${keys} keys], got ${mask.dtype} [${mask.shape.join(", ")}]`,
    );
  const { device, format, tensors, places } = attentionOperands("biasedAttention", q, k, v);
  const headSize = channels / heads;
  const width = Math.ceil(keys / 4) * 4;
  const slots = batch * heads;
  const aligned = channels % 4 === 0;
  const flopsPerQuery = 2 * slots * width * headSize;
  const most = Math.min(device.flopsBudget / flopsPerQuery, CHUNK_SCORES / (slots * width));
  const step = aligned ? Math.max(1, Math.floor(most)) : queries;
  const y = Tensor.empty(device, q.shape, tensors[0].dtype);
  for (let first = 0; first < queries; first += step)
    device.scope(() => {
      const count = Math.min(step, queries - first);
      const values = {
        heads,
        head_size: headSize,
        queries,
        keys,
        width,
        first,
        count,
        masked,
        size: y.size,
        ...places,
        scale: 1 / Math.sqrt(headSize),
      };
      const flops = flopsPerQuery * count;
      const scores = Tensor.empty(device, [slots, count, width], "float32");
      const weights = Tensor.empty(device, [slots, count, width + 4], "float32");
      runStream(device, scores.size / 4, {
        kernel: biasedScores,
        variant: { format },
        values,
        buffers: [tensors[0], tensors[1], mask, scores],
        flops,
      });
      softmax(scores, weights, { valid: keys, first: causal ? first + 1 : keys, period: count, scale: 1 });
      runStream(device, Math.ceil((batch * count * channels) / 4), {
        kernel: biasedValues,
        variant: { format, aligned },
        values,
        buffers: [weights, tensors[2], y],
        flops,
      });
    });
  return y;
}
