/** Scaled dot-product attention: edges, and layers of Stable Diffusion 1.5 (fewer queries or heads where the name says so). */
import { Random, type Reference } from "./data.js";

export interface AttentionCase {
  name: string;
  batch: number;
  queries: number;
  keys: number;
  heads: number;
  headSize: number;
  causal?: boolean;
  scale?: number;
  /** Standard deviation of q and k; 1 unless told. */
  std?: number;
  flops: number;
}

export interface AttentionData extends Record<string, Float32Array | undefined> {
  q: Float32Array;
  k: Float32Array;
  v: Float32Array;
}

type Options = Partial<Pick<AttentionCase, "causal" | "scale" | "std">>;
type Sizes = readonly [batch: number, queries: number, keys: number, heads: number, headSize: number];

function make(name: string, [batch, queries, keys, heads, headSize]: Sizes, options: Options = {}): AttentionCase {
  return {
    name: `${name} [${batch}, ${queries} x ${keys}, ${heads} heads of ${headSize}]`,
    batch,
    queries,
    keys,
    heads,
    headSize,
    flops: 4 * batch * queries * keys * heads * headSize,
    ...options,
  };
}

export const attentionCases: readonly AttentionCase[] = [
  make("one of all", [1, 1, 1, 1, 1]),
  make("one token", [2, 1, 1, 2, 8]),
  make("heads of 2", [1, 5, 3, 3, 2]),
  make("heads of 3", [2, 4, 7, 2, 3]),
  make("heads of 4", [3, 66, 5, 2, 4]),
  make("heads of 5", [1, 3, 9, 5, 5], { causal: true }),
  make("heads of 6", [1, 7, 4, 1, 6]),
  make("causal", [2, 9, 9, 2, 8], { causal: true }),
  make("causal, fewer keys", [1, 9, 5, 2, 4], { causal: true }),
  make("causal, more keys", [1, 5, 9, 1, 4], { causal: true }),
  make("its own scale", [1, 8, 8, 2, 8], { scale: 0.7 }),
  make("scores of ten thousand", [1, 13, 11, 2, 8], { std: 110 }),
  make("scores of ten thousand in one large head", [1, 5, 9, 1, 164], { std: 50 }),
  make("CLIP", [1, 77, 77, 2, 64], { causal: true }),
  make("self-attention, level 1, 70 of 4096 queries", [1, 70, 4096, 1, 40]),
  make("cross-attention, level 1, 130 of 4096 queries", [2, 130, 77, 8, 40]),
  make("self-attention, level 2, 65 of 1024 queries", [1, 65, 1024, 1, 80]),
  make("cross-attention, level 2", [1, 64, 77, 8, 80]),
  make("self-attention, level 3, 32 of 256 queries", [1, 32, 256, 2, 160]),
  make("middle block", [1, 64, 64, 2, 160]),
  make("cross-attention, middle block", [2, 17, 77, 2, 160]),
  make("VAE, 300 of 4096 tokens", [1, 300, 64, 1, 512]),
  make("VAE, an odd number of tokens", [2, 27, 27, 1, 512]),
];

export function attentionData({ batch, queries, keys, heads, headSize, std }: AttentionCase): AttentionData {
  const random = new Random(queries * 5 + keys + headSize);
  const width = heads * headSize;
  return {
    q: random.normal(batch * queries * width, { std }),
    k: random.normal(batch * keys * width, { std }),
    v: random.normal(batch * keys * width),
  };
}

/** torch.nn.functional.scaled_dot_product_attention, tokens [batch, tokens, heads * headSize]. */
export function attentionReference(item: AttentionCase, { q, k, v }: AttentionData): Reference {
  const { queries, keys, heads, headSize, causal } = item;
  const scale = item.scale ?? 1 / Math.sqrt(headSize);
  const width = heads * headSize;
  const weights = new Map<number, Float64Array>();
  const weightsOf = (at: number, image: number): Float64Array => {
    let found = weights.get(at);
    if (!found) {
      const count = causal ? Math.min(keys, (Math.floor(at / width) % queries) + 1) : keys;
      const scores = Float64Array.from({ length: count }, (_, key) => {
        let score = 0;
        const start = (image * keys + key) * width + (at % width);
        for (let i = 0; i < headSize; i++) score += q[at + i] * k[start + i];
        return score * scale;
      });
      const top = scores.reduce((a, b) => Math.max(a, b));
      const powers = scores.map((score) => Math.exp(score - top));
      const total = powers.reduce((a, b) => a + b);
      found = powers.map((power) => power / total);
      weights.set(at, found);
    }
    return found;
  };
  return (index) => {
    const c = index % width;
    const image = Math.floor(index / width / queries);
    const all = weightsOf(index - (c % headSize), image);
    return all.reduce((sum, weight, key) => sum + weight * v[(image * keys + key) * width + c], 0);
  };
}
