/** y = f32(x) of 32-bit integers. */
import { linearWorkgroup, paramsStruct, tensor, u32s, wgsl, type Kernel } from "./wgsl.js";

export const WORKGROUP_SIZE = 64;

export const toFloat: Kernel = {
  name: "to_float",
  params: u32s("quads"),
  bindings: () => ["read", "write"],
  source() {
    return wgsl`${paramsStruct(this.params)}
@group(0) @binding(1) var<storage, read> x: array<vec4i>;
${tensor(2, "y", "write", "f32")}
@compute @workgroup_size(${WORKGROUP_SIZE})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) local: u32) {
  let i = ${linearWorkgroup} * ${WORKGROUP_SIZE}u + local;
  if (i >= params.quads) { return; }
  store4_y(i, vec4f(x[i]));
}`;
  },
};
