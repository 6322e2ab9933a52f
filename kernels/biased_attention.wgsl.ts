/**
 * Attention with a mask over the keys, in three passes (the middle one is kernels/softmax.wgsl.ts), for head sizes of
 * any number of channels:
 *   scores = scale q k + (1 - mask[key]) * -10000 (diffusers' bias);  y = softmax(scores) v.
 * Rows of scores are [batch * heads, queries of this run, width], width a multiple of 4; those of weights are a quad longer.
 * Tokens of q, k and v lie `…_stride` elements apart, the first at `…_start`.
 */
import { overQuads, STREAM_PARAMS, type StreamVariant } from "./streams.js";
import { enable, paramsStruct, range, tensor, u32s, wgsl, type Format, type Kernel } from "./wgsl.js";

const params = {
  ...STREAM_PARAMS,
  ...u32s("heads", "head_size", "queries", "keys", "width", "first", "count", "size", "masked"),
  ...u32s("q_stride", "q_start", "k_stride", "k_start", "v_stride", "v_start"),
  scale: "f32",
} as const;

const quadOf = (f: (lane: number) => string): string => `vec4f(${range(4).map(f).join(", ")})`;

/** Quads of keys. `masked`: how many keys have a mask; those after them are seen by all. */
export const biasedScores: Kernel<{ format: Format } & StreamVariant> = {
  name: "biased_scores",
  params,
  bindings: () => ["read", "read", "read", "write"],
  source({ format, lanes }) {
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
${overQuads(
  { lanes },
  `
  let quads_across = params.width >> 2u;
  let row = i / quads_across;
  let key = 4u * (i % quads_across);
  let slot = row / params.count;
  let query = params.first + row % params.count;
  store4_y(i, ${quadOf((lane) => `score(slot, query, key + ${lane}u)`)});`,
)}`;
  },
};

const ALIGNED_QUAD = `let across = (params.heads * params.head_size) >> 2u;
  let image = i / (params.count * across);
  let quad = (image * params.queries + params.first) * across + i % (params.count * across);`;

/**
 * Quads of channels of the result. Runs of some of the queries need channels in whole quads (`aligned`), or
 * two runs would write to one quad.
 */
export const biasedValues: Kernel<{ format: Format; aligned: boolean } & StreamVariant> = {
  name: "biased_values",
  params,
  bindings: () => ["read", "read", "write"],
  source({ format, aligned, lanes }) {
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
${overQuads(
  { lanes },
  `
  ${aligned ? ALIGNED_QUAD : "let quad = i;"}
  store4_y(quad, ${quadOf((lane) => `value(4u * quad + ${lane}u)`)});`,
)}`;
  },
};
