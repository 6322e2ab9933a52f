/**
 * Scaled dot-product attention: o = softmax(q kᵀ / sqrt(d)) v for each head, with an online softmax (Milakov & Gimelshein
 * 2018), so no score matrix is ever in memory. Tokens are [batch, tokens, heads * d].
 *
 * A thread per quad of the result, any head size: the reference of the flash kernels and of
 * attention_scores.wgsl.ts.
 */
import { visible } from "./attention_parts.js";
import { enable, linearWorkgroup, paramsStruct, tensor, u32s, wgsl, type Format, type Kernel } from "./wgsl.js";

export const WORKGROUP_SIZE = 64;

export interface AttentionVariant {
  format: Format;
}

/**
 * `start` and `end`: the quads of y that a dispatch computes.
 * q, k and v may be columns of wider matrices: their tokens lie `…_stride` elements apart, the first at `…_start`.
 */
const params = {
  ...u32s("heads", "head_size", "queries", "keys", "causal", "start", "end", "size"),
  ...u32s("q_stride", "q_start", "k_stride", "k_start", "v_stride", "v_start"),
  scale: "f32",
} as const;

const header = (format: Format): string => `${enable(format)}${paramsStruct(params)}
${tensor(1, "q", "read", format)}${tensor(2, "k", "read", format)}${tensor(3, "v", "read", format)}${tensor(4, "y", "write", format)}
${visible}`;

const source = ({ format }: AttentionVariant): string => wgsl`${header(format)}
fn element(index: u32) -> f32 {
  let e = min(index, params.size - 1u);
  let width = params.heads * params.head_size;
  let c = e % width;
  let query = (e / width) % params.queries;
  let image = e / width / params.queries;
  let head = (c / params.head_size) * params.head_size;
  let q_at = params.q_start + (image * params.queries + query) * params.q_stride + head;
  let k_at = params.k_start + image * params.keys * params.k_stride + head;
  let v_at = params.v_start + image * params.keys * params.v_stride + c;
  var top = -1e30;
  var total = 0.0;
  var sum = 0.0;
  let last = visible(query);
  for (var key = 0u; key < last; key++) {
    var score = 0.0;
    for (var i = 0u; i < params.head_size; i++) { score += load_q(q_at + i) * load_k(k_at + key * params.k_stride + i); }
    score *= params.scale;
    let next = max(top, score);
    let keep = exp(top - next);
    let p = exp(score - next);
    total = total * keep + p;
    sum = sum * keep + p * load_v(v_at + key * params.v_stride);
    top = next;
  }
  return sum / total;
}
@compute @workgroup_size(${WORKGROUP_SIZE})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) local: u32) {
  let i = params.start + ${linearWorkgroup} * ${WORKGROUP_SIZE}u + local;
  if (i >= params.end) { return; }
  // A loop, so that element() is inlined once.
  var quad = vec4f();
  for (var lane = 0u; lane < 4u; lane++) { quad[lane] = element(4u * i + lane); }
  store4_y(i, quad);
}`;

export const attention: Kernel<AttentionVariant> = {
  name: "attention",
  params,
  bindings: () => ["read", "read", "read", "write"],
  source,
};
