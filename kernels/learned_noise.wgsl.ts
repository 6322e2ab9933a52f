/** y = noise * exp(offset + slope v): noise whose deviation a model predicts per element (Nichol & Dhariwal 2021, formula 15). */
import { enable, linearWorkgroup, paramsStruct, tensor, wgsl, type Format, type Kernel } from "./wgsl.js";

export const WORKGROUP_SIZE = 64;

export const learnedNoise: Kernel<{ format: Format }> = {
  name: "learned_noise",
  params: { quads: "u32", offset: "f32", slope: "f32" },
  bindings: () => ["read", "read", "write"],
  source({ format }) {
    return wgsl`${enable(format)}${paramsStruct(this.params)}
${tensor(1, "noise", "read", format)}${tensor(2, "v", "read", format)}${tensor(3, "y", "write", format)}
@compute @workgroup_size(${WORKGROUP_SIZE})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) local: u32) {
  let i = ${linearWorkgroup} * ${WORKGROUP_SIZE}u + local;
  if (i >= params.quads) { return; }
  store4_y(i, load4_noise(i) * exp(params.offset + params.slope * load4_v(i)));
}`;
  },
};
