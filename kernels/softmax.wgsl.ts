/** Softmax over rows: y = exp(scale x - max) / Σ. A thread per quad-aligned row of `width` (a multiple of 4); f32 inside. */
import { enable, paramsStruct, tensor, u32s, wgsl, type Format, type Kernel } from "./wgsl.js";

export const WORKGROUP_SIZE = 64;

export const softmax: Kernel<{ format: Format }> = {
  name: "softmax",
  params: { ...u32s("rows", "width"), scale: "f32" },
  bindings: () => ["read", "write"],
  source({ format }) {
    return wgsl`${enable(format)}${paramsStruct(this.params)}${tensor(1, "x", "read", format)}${tensor(2, "y", "write", format)}
@compute @workgroup_size(${WORKGROUP_SIZE})
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= params.rows) { return; }
  let quads = params.width >> 2u;
  let start = id.x * quads;
  var most = load4_x(start);
  for (var i = 1u; i < quads; i++) { most = max(most, load4_x(start + i)); }
  let top = max(max(most.x, most.y), max(most.z, most.w));
  var total = vec4f();
  for (var i = 0u; i < quads; i++) { total += exp((load4_x(start + i) - top) * params.scale); }
  let inverse = 1.0 / dot(total, vec4f(1.0));
  for (var i = 0u; i < quads; i++) { store4_y(start + i, exp((load4_x(start + i) - top) * params.scale) * inverse); }
}`;
  },
};
