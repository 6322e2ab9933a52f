/** y[b, j, c] = sum over i of w[i, j] x[b, i, c]: every image's tokens mixed by one small matrix, in f32 throughout. */
import { overElements, STREAM_PARAMS, type StreamVariant } from "./streams.js";
import { enable, paramsStruct, tensor, u32s, wgsl, type Format, type Kernel } from "./wgsl.js";

export const mixTokens: Kernel<{ from: Format; to: Format; aligned: boolean } & StreamVariant> = {
  name: "mix_tokens",
  /** n tokens become m. */
  params: { ...STREAM_PARAMS, ...u32s("size", "n", "m", "channels") },
  bindings: () => ["read", "read", "write"],
  source({ from, to, aligned, lanes }) {
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
${overElements({ lanes }, "mixed", aligned)}`;
  },
};
