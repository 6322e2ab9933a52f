/** y[b, j, c] = sum over i of w[i, j] x[b, i, c]: every image's tokens mixed by one small matrix, in f32 throughout. */
import { enable, linearWorkgroup, paramsStruct, range, tensor, u32s, wgsl, type Format, type Kernel } from "./wgsl.js";

export const WORKGROUP_SIZE = 64;

export const mixTokens: Kernel<{ from: Format; to: Format; aligned: boolean }> = {
  name: "mix_tokens",
  /** n tokens become m. */
  params: u32s("quads", "size", "n", "m", "channels"),
  bindings: () => ["read", "read", "write"],
  source({ from, to, aligned }) {
    const value = aligned ? "vec4f" : "f32";
    const load = aligned ? "load4_x(at >> 2u)" : "load_x(at)";
    return wgsl`${enable(from === "f16" ? from : to)}${paramsStruct(this.params)}
${tensor(1, "x", "read", from)}${tensor(2, "w", "read", "f32")}${tensor(3, "y", "write", to)}
fn mixed(element: u32) -> ${value} {
  let e = min(element, params.size - 1u);
  let j = e / params.channels % params.m;
  let image = e / (params.channels * params.m);
  var sum = ${value}();
  for (var i = 0u; i < params.n; i++) {
    let at = (image * params.n + i) * params.channels + e % params.channels;
    sum += load_w(i * params.m + j) * ${load};
  }
  return sum;
}
@compute @workgroup_size(${WORKGROUP_SIZE})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) local: u32) {
  let i = ${linearWorkgroup} * ${WORKGROUP_SIZE}u + local;
  if (i >= params.quads) { return; }
  #if ${aligned}
  store4_y(i, mixed(4u * i));
  #else
  store4_y(i, vec4f(${range(4)
    .map((lane) => `mixed(4u * i + ${lane}u)`)
    .join(", ")}));
  #endif
}`;
  },
};
