/** Elementwise kernels whose coefficients differ from sample to sample of a batch. */
import { enable, linearWorkgroup, paramsStruct, range, tensor, u32s, wgsl, type Format, type Kernel } from "./wgsl.js";

export const WORKGROUP_SIZE = 64;

/** y[b, …] = c[b, 0] x0[b, …] + c[b, 1] x1[b, …]; `width` is the size of a sample, c is float32. */
export const mixSamples: Kernel<{ format: Format }> = {
  name: "mix_samples",
  params: u32s("quads", "width", "batch"),
  bindings: () => ["read", "read", "read", "write"],
  source({ format }) {
    const lane = (k: number): string => `mixed(4u * i + ${k}u)`;
    return wgsl`${enable(format)}${paramsStruct(this.params)}
${tensor(1, "x0", "read", format)}${tensor(2, "x1", "read", format)}${tensor(3, "c", "read", "f32")}${tensor(4, "y", "write", format)}
fn mixed(e: u32) -> f32 {
  let b = min(e / params.width, params.batch - 1u);
  return load_c(2u * b) * load_x0(e) + load_c(2u * b + 1u) * load_x1(e);
}
@compute @workgroup_size(${WORKGROUP_SIZE})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) local: u32) {
  let i = ${linearWorkgroup} * ${WORKGROUP_SIZE}u + local;
  if (i >= params.quads) { return; }
  store4_y(i, vec4f(${range(4).map(lane).join(", ")}));
}`;
  },
};
