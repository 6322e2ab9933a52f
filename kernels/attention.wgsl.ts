/**
 * Scaled dot-product attention: o = softmax(q kᵀ / sqrt(d)) v for each head, with an online softmax (Milakov & Gimelshein
 * 2018; Dao et al. 2022), so no score matrix is ever in memory. Tokens are [batch, tokens, heads * d].
 *
 * `plain`: a thread per quad of the result, any head size. `flash`: a thread per query, q and o in registers, four keys
 * at a time; needs d % 4 == 0 and suits d up to 160 (larger heads, and CPU adapters, take attention_scores.wgsl.ts).
 */
import {
  enable,
  linearWorkgroup,
  multiplyAdd,
  paramsStruct,
  range,
  tensor,
  u32s,
  wgsl,
  type Format,
  type Kernel,
} from "./wgsl.js";

export const WORKGROUP_SIZE = 64;
const KEYS = 4;

export interface AttentionVariant {
  format: Format;
  /** Head size of the flash kernel; 0 is the plain one. */
  headSize: number;
  fma: boolean;
}

/**
 * `start` and `end`: the part that a dispatch computes, in quads of y for the plain kernel, in queries for the flash one.
 * q, k and v may be columns of wider matrices: their tokens lie `…_stride` elements apart, the first at `…_start`.
 */
const params = {
  ...u32s("heads", "head_size", "queries", "keys", "causal", "start", "end", "size"),
  ...u32s("q_stride", "q_start", "k_stride", "k_start", "v_stride", "v_start"),
  scale: "f32",
} as const;

const header = (format: Format): string => `${enable(format)}${paramsStruct(params)}
${tensor(1, "q", "read", format)}${tensor(2, "k", "read", format)}${tensor(3, "v", "read", format)}${tensor(4, "y", "write", format)}
/** Keys that a query may see. */
fn visible(query: u32) -> u32 { return select(params.keys, min(params.keys, query + 1u), params.causal != 0u); }
`;

const plain = ({ format }: AttentionVariant): string => wgsl`${header(format)}
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

const flash = ({ format, headSize, fma }: AttentionVariant): string => {
  const mad = multiplyAdd(fma);
  const parts = range(headSize / 4);
  const keys = range(KEYS);
  const all = (f: (b: number) => string, join = "\n"): string => keys.map(f).join(join);
  return wgsl`${header(format)}
@compute @workgroup_size(${WORKGROUP_SIZE})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) local: u32) {
  let query = params.start + workgroup.x * ${WORKGROUP_SIZE}u + local;
  if (query >= params.end) { return; }
  let image = workgroup.y / params.heads;
  let stride = params.heads * ${headSize / 4}u;
  let head = (workgroup.y % params.heads) * ${headSize / 4}u;
  let at = (image * params.queries + query) * stride + head;
  let q_at = (params.q_start + (image * params.queries + query) * params.q_stride) / 4u + head;
  let k_at = (params.k_start + image * params.keys * params.k_stride) / 4u + head;
  let v_at = (params.v_start + image * params.keys * params.v_stride) / 4u + head;
${parts.map((i) => `  let q${i} = load4_q(q_at + ${i}u) * params.scale; var o${i} = vec4f();`).join("\n")}
  var top = -1e30;
  var total = 0.0;
  let last = visible(query);
  for (var key = 0u; key < last; key += ${KEYS}u) {
${all((b) => `    let key${b} = min(key + ${b}u, params.keys - 1u);\n    let k${b} = k_at + key${b} * (params.k_stride / 4u);\n    let v${b} = v_at + key${b} * (params.v_stride / 4u);\n    var d${b} = vec4f();`)}
${parts.map((i) => all((b) => `    d${b} = ${mad(`q${i}`, `load4_k(k${b} + ${i}u)`, `d${b}`)};`)).join("\n")}
${all((b) => `    let score${b} = select(-1e30, d${b}.x + d${b}.y + d${b}.z + d${b}.w, key + ${b}u < last);`)}
    let next = max(top, max(max(score0, score1), max(score2, score3)));
    let keep = exp(top - next);
${all((b) => `    let p${b} = select(0.0, exp(score${b} - next), key + ${b}u < last);`)}
    total = total * keep + ${all((b) => `p${b}`, " + ")};
${parts
  .map(
    (i) =>
      `    o${i} *= keep;\n${all((b) => `    o${i} = ${mad(`vec4f(p${b})`, `load4_v(v${b} + ${i}u)`, `o${i}`)};`)}`,
  )
  .join("\n")}
    top = next;
  }
  let inverse = 1.0 / total;
${parts.map((i) => `  store4_y(at + ${i}u, o${i} * inverse);`).join("\n")}
}`;
};

export const attention: Kernel<AttentionVariant> = {
  name: "attention",
  params,
  bindings: () => ["read", "read", "read", "write"],
  source: (variant) => (variant.headSize === 0 ? plain(variant) : flash(variant)),
};
