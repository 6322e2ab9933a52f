/**
 * Attention with a mask over the keys, in three passes (the middle one is kernels/softmax.wgsl.ts), for head sizes of
 * any number of channels:
 *   scores = scale q k + (1 - mask[key]) * -10000 (diffusers' bias);  y = softmax(scores) v.
 * Rows of scores are [batch * heads, queries of this run, width], width a multiple of 4; those of weights are a quad longer.
 * Tokens of q, k and v lie `…_stride` elements apart, the first at `…_start`.
 */
import { enable, linearWorkgroup, paramsStruct, range, tensor, u32s, wgsl, type Format, type Kernel } from "./wgsl.js";

export const WORKGROUP_SIZE = 64;

const params = {
  ...u32s("heads", "head_size", "queries", "keys", "width", "first", "count", "quads", "size", "masked"),
  ...u32s("q_stride", "q_start", "k_stride", "k_start", "v_stride", "v_start"),
  scale: "f32",
} as const;

const main = (body: string): string => `
@compute @workgroup_size(${WORKGROUP_SIZE})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) local: u32) {
  let i = ${linearWorkgroup} * ${WORKGROUP_SIZE}u + local;
  if (i >= params.quads) { return; }
  ${body}
}`;

const lanes = (f: (lane: number) => string): string => `vec4f(${range(4).map(f).join(", ")})`;

/** A thread per quad of keys. `masked`: how many keys have a mask; those after them are seen by all. */
export const biasedScores: Kernel<{ format: Format }> = {
  name: "biased_scores",
  params,
  bindings: () => ["read", "read", "read", "write"],
  source({ format }) {
    return wgsl`${enable(format)}${paramsStruct(this.params)}
${tensor(1, "q", "read", format)}${tensor(2, "k", "read", format)}${tensor(3, "mask", "read", "f32")}${tensor(4, "y", "write", "f32")}
fn score(slot: u32, query: u32, key: u32) -> f32 {
  if (key >= params.keys) { return 0.0; }
  let batch = slot / params.heads;
  let head = slot % params.heads * params.head_size;
  let from_q = params.q_start + (batch * params.queries + query) * params.q_stride + head;
  let from_k = params.k_start + (batch * params.keys + key) * params.k_stride + head;
  var sum = 0.0;
  for (var d = 0u; d < params.head_size; d++) { sum += load_q(from_q + d) * load_k(from_k + d); }
  var bias = 0.0;
  if (key < params.masked) { bias = (1.0 - load_mask(batch * params.masked + key)) * -10000.0; }
  return sum * params.scale + bias;
}
${main(`
  let quads_across = params.width >> 2u;
  let row = i / quads_across;
  let key = 4u * (i % quads_across);
  let slot = row / params.count;
  let query = params.first + row % params.count;
  store4_y(i, ${lanes((lane) => `score(slot, query, key + ${lane}u)`)});`)}`;
  },
};

const ALIGNED_QUAD = `let across = (params.heads * params.head_size) >> 2u;
  let image = i / (params.count * across);
  let quad = (image * params.queries + params.first) * across + i % (params.count * across);`;

/**
 * A thread per quad of channels of the result. Runs of some of the queries need channels in whole quads (`aligned`), or
 * two runs would write to one quad.
 */
export const biasedValues: Kernel<{ format: Format; aligned: boolean }> = {
  name: "biased_values",
  params,
  bindings: () => ["read", "read", "write"],
  source({ format, aligned }) {
    return wgsl`${enable(format)}${paramsStruct(this.params)}
${tensor(1, "weights", "read", "f32")}${tensor(2, "v", "read", format)}${tensor(3, "y", "write", format)}
fn value(element: u32) -> f32 {
  let e = min(element, params.size - 1u);
  let channels = params.heads * params.head_size;
  let channel = e % channels;
  let row = e / channels;
  let batch = row / params.queries;
  let query = row % params.queries;
  let slot = batch * params.heads + channel / params.head_size;
  let weights_row = (slot * params.count + query - params.first) * (params.width + 4u);
  let from_v = params.v_start + batch * params.keys * params.v_stride + channel;
  var sum = 0.0;
  for (var key = 0u; key < params.keys; key++) {
    sum += load_weights(weights_row + key) * load_v(from_v + key * params.v_stride);
  }
  return sum * load_weights(weights_row + params.width);
}
${main(`
  ${aligned ? ALIGNED_QUAD : "let quad = i;"}
  store4_y(quad, ${lanes((lane) => `value(4u * quad + ${lane}u)`)});`)}`;
  },
};
