/**
 * Softmax over rows of `width` (a multiple of 4) scores, as attention needs it: y = exp(scale·x - max) for the first
 * min(valid, first + row % period) columns, 0 in the rest (a causal mask, where `period` rows belong to one head), and behind
 * them a quad that begins with 1 / Σ y. The division is left to who sums with these weights: one pass less. A thread per row.
 */
import { enable, paramsStruct, tensor, u32s, wgsl, type Format, type Kernel } from "./wgsl.js";

export const WORKGROUP_SIZE = 64;

export const softmax: Kernel<{ format: Format }> = {
  name: "softmax",
  params: { ...u32s("rows", "width", "valid", "first", "period"), scale: "f32" },
  bindings: () => ["read", "write"],
  source({ format }) {
    return wgsl`${enable(format)}${paramsStruct(this.params)}${tensor(1, "x", "read", format)}${tensor(2, "y", "write", format)}
@compute @workgroup_size(${WORKGROUP_SIZE})
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= params.rows) { return; }
  let quads = params.width >> 2u;
  let start = id.x * quads;
  let out = id.x * (quads + 1u);
  let valid = min(params.valid, params.first + id.x % params.period);
  let whole = valid >> 2u;
  // The last quad with scores: columns from valid on count as the lowest of all.
  let inside = vec4u(4u * whole) + vec4u(0u, 1u, 2u, 3u) < vec4u(valid);
  let last = select(vec4f(-1e30), load4_x(start + min(whole, quads - 1u)) * params.scale, inside);
  var most = last;
  for (var i = 0u; i < whole; i++) { most = max(most, load4_x(start + i) * params.scale); }
  let top = max(max(most.x, most.y), max(most.z, most.w));
  var total = vec4f();
  for (var i = 0u; i < whole; i++) {
    let weight = exp(load4_x(start + i) * params.scale - top);
    total += weight;
    store4_y(out + i, weight);
  }
  let weight = select(vec4f(), exp(last - top), inside);
  total += weight;
  for (var i = whole; i < quads; i++) { store4_y(out + i, select(vec4f(), weight, vec4<bool>(i == whole))); }
  store4_y(out + quads, vec4f(1.0 / dot(total, vec4f(1.0)), 0.0, 0.0, 0.0));
}`;
  },
};
