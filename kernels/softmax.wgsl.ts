/**
 * Softmax over rows of `width` (a multiple of 4): y = exp(scale x - max) / Σ over the first min(valid, first + row % period)
 * columns, 0 in the rest: a causal mask, where `period` rows belong to one head. A thread per row; f32 inside.
 */
import { enable, paramsStruct, tensor, u32s, wgsl, type Format, type Kernel } from "./wgsl.js";

export const WORKGROUP_SIZE = 64;

export const softmax: Kernel<{ format: Format }> = {
  name: "softmax",
  params: { ...u32s("rows", "width", "valid", "first", "period"), scale: "f32" },
  bindings: () => ["read", "write"],
  source({ format }) {
    return wgsl`${enable(format)}${paramsStruct(this.params)}${tensor(1, "x", "read", format)}${tensor(2, "y", "write", format)}
/** A quad of scores; columns from \`valid\` on count as the lowest of all. */
fn scores(start: u32, i: u32, valid: u32) -> vec4f {
  let column = vec4u(4u * i) + vec4u(0u, 1u, 2u, 3u);
  return select(vec4f(-1e30), load4_x(start + i) * params.scale, column < vec4u(valid));
}
@compute @workgroup_size(${WORKGROUP_SIZE})
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= params.rows) { return; }
  let quads = params.width >> 2u;
  let start = id.x * quads;
  let valid = min(params.valid, params.first + id.x % params.period);
  var most = scores(start, 0u, valid);
  for (var i = 1u; i < quads; i++) { most = max(most, scores(start, i, valid)); }
  let top = max(max(most.x, most.y), max(most.z, most.w));
  var total = vec4f();
  for (var i = 0u; i < quads; i++) { total += exp(scores(start, i, valid) - top); }
  let inverse = 1.0 / dot(total, vec4f(1.0));
  for (var i = 0u; i < quads; i++) { store4_y(start + i, exp(scores(start, i, valid) - top) * inverse); }
}`;
  },
};
