/**
 * Attention in three passes for some of the queries at a time: scores, softmax (softmax.wgsl.ts), weighted sum of the
 * values. For CPU adapters, which compile the flash kernel for seconds per head size, and for heads too large for its
 * registers (the VAE's 512). Scores and weights are f32: unscaled scores pass the largest half, and a half's 11 bits are
 * too few for an exponent. Head sizes are multiples of 4. Each thread computes 4 queries by one quad.
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

export const WORKGROUP_SIZE = 32;
/** Queries of a thread. */
export const QUERIES = 4;

export interface ScoresVariant {
  format: Format;
  fma: boolean;
}

/** `width` is the row of scores, keys rounded up to 4; `first` the first query and `count` how many there are. */
const params = u32s("heads", "head_size", "queries", "keys", "width", "first", "count", "threads");

/** `across` quads lie side by side in a row of the result; the thread has `slot` (image * heads + head), `row`, `quad`. */
const entry = (across: string, body: string): string => /* wgsl */ `
@compute @workgroup_size(${WORKGROUP_SIZE})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) local: u32) {
  let thread = ${linearWorkgroup} * ${WORKGROUP_SIZE}u + local;
  if (thread >= params.threads) { return; }
  let quad = thread % (${across});
  let row = (thread / (${across})) % ((params.count + ${QUERIES - 1}u) / ${QUERIES}u) * ${QUERIES}u;
  let slot = thread / (${across}) / ((params.count + ${QUERIES - 1}u) / ${QUERIES}u);
  let parts = params.head_size >> 2u;
  let stride = params.heads * parts;
  let head = (slot % params.heads) * parts;
  let image = slot / params.heads;
${body}
}`;

const rows = range(QUERIES);

/** y[slot, row, key] = q · k, unscaled. */
export const attentionScores: Kernel<ScoresVariant> = {
  name: "attention scores",
  params,
  bindings: () => ["read", "read", "write"],
  source({ format, fma }) {
    const mad = multiplyAdd(fma);
    const lanes = range(4);
    return wgsl`${enable(format)}${paramsStruct(params)}
${tensor(1, "q", "read", format)}${tensor(2, "k", "read", format)}${tensor(3, "y", "write", "f32")}
${entry(
  "params.width >> 2u",
  `${rows.map((i) => `  let q${i} = (image * params.queries + params.first + min(row + ${i}u, params.count - 1u)) * stride + head;`).join("\n")}
${lanes.map((b) => `  let k${b} = (image * params.keys + min(4u * quad + ${b}u, params.keys - 1u)) * stride + head;`).join("\n")}
${rows.map((i) => lanes.map((b) => `  var s${i}_${b} = vec4f();`).join("\n")).join("\n")}
  for (var i = 0u; i < parts; i++) {
${lanes.map((b) => `    let key${b} = load4_k(k${b} + i);`).join("\n")}
${rows.map((i) => `    { let query = load4_q(q${i} + i);\n${lanes.map((b) => `      s${i}_${b} = ${mad("query", `key${b}`, `s${i}_${b}`)};`).join("\n")} }`).join("\n")}
  }
  let at = (slot * params.count + row) * (params.width >> 2u) + quad;
${rows
  .map((i) => {
    const sums = lanes.map((b) => `dot(s${i}_${b}, vec4f(1.0))`).join(", ");
    return `  if (row + ${i}u < params.count) { store4_y(at + ${i}u * (params.width >> 2u), vec4f(${sums})); }`;
  })
  .join("\n")}`,
)}`;
  },
};

/** y[image, query, head, :] = Σ over keys of weight · v. */
export const attentionValues: Kernel<ScoresVariant> = {
  name: "attention values",
  params,
  bindings: () => ["read", "read", "write"],
  source({ format, fma }) {
    const mad = multiplyAdd(fma);
    const lanes = range(4);
    return wgsl`${enable(format)}${paramsStruct(params)}
${tensor(1, "weights", "read", "f32")}${tensor(2, "v", "read", format)}${tensor(3, "y", "write", format)}
${entry(
  "params.head_size >> 2u",
  `  let quads = params.width >> 2u;
${rows.map((i) => `  let w${i} = (slot * params.count + min(row + ${i}u, params.count - 1u)) * quads;\n  var o${i} = vec4f();`).join("\n")}
  let values = image * params.keys * stride + head + quad;
  for (var key = 0u; key < quads; key++) {
${lanes.map((b) => `    let v${b} = load4_v(values + min(4u * key + ${b}u, params.keys - 1u) * stride);`).join("\n")}
${rows.map((i) => `    { let weight = load4_weights(w${i} + key);\n${lanes.map((b) => `      o${i} = ${mad(`vec4f(weight[${b}])`, `v${b}`, `o${i}`)};`).join("\n")} }`).join("\n")}
  }
  let at = (image * params.queries + params.first + row) * stride + head + quad;
${rows.map((i) => `  if (row + ${i}u < params.count) { store4_y(at + ${i}u * stride, o${i}); }`).join("\n")}`,
)}`;
  },
};
