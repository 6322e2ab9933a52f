/**
 * Fades from the end of `a` to the start of `b` along one axis, as diffusers' blend_v and blend_h of VAE tiles:
 * y[n] = a[na - extent + n] * (1 - n / extent) + b[n] * (n / extent) for n < extent, y[n] = b[n] beyond.
 * The axis has `inner` elements after it; axes before it are the same in both.
 */
import { enable, linearWorkgroup, paramsStruct, range, tensor, u32s, wgsl, type Format, type Kernel } from "./wgsl.js";

export const WORKGROUP_SIZE = 64;

export const blend: Kernel<{ format: Format }> = {
  name: "blend",
  params: u32s("quads", "size", "count_a", "count_b", "inner", "extent"),
  bindings: () => ["read", "read", "write"],
  source({ format }) {
    return wgsl`${enable(format)}${paramsStruct(this.params)}${tensor(1, "a", "read", format)}${tensor(2, "b", "read", format)}${tensor(3, "y", "write", format)}
fn element(index: u32) -> f32 {
  let e = min(index, params.size - 1u);
  let row = e / params.inner;
  let n = row % params.count_b;
  let b = load_b(e);
  if (n >= params.extent) { return b; }
  let start = (row / params.count_b) * params.count_a + params.count_a - params.extent + n;
  let t = f32(n) / f32(params.extent);
  return load_a(start * params.inner + e % params.inner) * (1.0 - t) + b * t;
}
@compute @workgroup_size(${WORKGROUP_SIZE})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) local: u32) {
  let i = ${linearWorkgroup} * ${WORKGROUP_SIZE}u + local;
  if (i >= params.quads) { return; }
  store4_y(i, vec4f(${range(4)
    .map((lane) => `element(4u * i + ${lane}u)`)
    .join(", ")}));
}`;
  },
};
