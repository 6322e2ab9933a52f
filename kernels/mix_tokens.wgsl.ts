/** y[b, j, c] = sum over i of w[i, j] x[b, i, c]: every image's tokens mixed by one small matrix, in f32 throughout. */
import { elementsEntry, enable, paramsStruct, tensor, u32s, wgsl, type Format, type Kernel } from "./wgsl.js";

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
}${elementsEntry(WORKGROUP_SIZE, "mixed", aligned)}`;
  },
};
