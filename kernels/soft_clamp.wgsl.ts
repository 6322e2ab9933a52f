/** y = bound * tanh(x / bound): a clamp without corners, which AutoencoderTiny's decoder begins with. */
import { enable, linearWorkgroup, paramsStruct, tensor, wgsl, type Format, type Kernel } from "./wgsl.js";

export const WORKGROUP_SIZE = 64;

// tanh's argument is clamped: beyond 9 it is 1 in float32, and an implementation by exponentials may overflow.
export const softClamp: Kernel<{ format: Format }> = {
  name: "soft_clamp",
  params: { quads: "u32", bound: "f32" },
  bindings: () => ["read", "write"],
  source({ format }) {
    return wgsl`${enable(format)}${paramsStruct(this.params)}${tensor(1, "x", "read", format)}${tensor(2, "y", "write", format)}
@compute @workgroup_size(${WORKGROUP_SIZE})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) local: u32) {
  let i = ${linearWorkgroup} * ${WORKGROUP_SIZE}u + local;
  if (i >= params.quads) { return; }
  store4_y(i, params.bound * tanh(clamp(load4_x(i) / params.bound, vec4f(-9.0), vec4f(9.0))));
}`;
  },
};
