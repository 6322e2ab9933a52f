/** y = bound * tanh(x / bound): a clamp without corners, which AutoencoderTiny's decoder begins with. */
import { overQuads, STREAM_PARAMS, type StreamVariant } from "./streams.js";
import { enable, paramsStruct, tensor, wgsl, type Format, type Kernel } from "./wgsl.js";

// tanh's argument is clamped: beyond 9 it is 1 in float32, and an implementation by exponentials may overflow.
export const softClamp: Kernel<{ format: Format } & StreamVariant> = {
  name: "soft_clamp",
  params: { ...STREAM_PARAMS, bound: "f32" },
  bindings: () => ["read", "write"],
  source({ format, lanes }) {
    return wgsl`${enable(format)}${paramsStruct(this.params)}${tensor(1, "x", "read", format)}${tensor(2, "y", "write", format)}
${overQuads(
  { lanes },
  `
  store4_y(i, params.bound * tanh(clamp(load4_x(i) / params.bound, vec4f(-9.0), vec4f(9.0))));`,
)}`;
  },
};
