/** y = bound * tanh(x / bound): a clamp without corners, which AutoencoderTiny's decoder begins with. */
import { overQuads, STREAM_PARAMS, type StreamVariant } from "./streams.js";
import { enable, paramsStruct, tensor, wgsl, type Format, type Kernel } from "./wgsl.js";

// tanh's argument is bounded: beyond 9 it is 1 in float32, and an implementation by exponentials may overflow. Not by clamp(), which
// would make a number of NaN.
export const softClamp: Kernel<{ format: Format } & StreamVariant> = {
  name: "soft_clamp",
  params: { ...STREAM_PARAMS, bound: "f32" },
  bindings: () => ["read", "write"],
  source({ format, lanes }) {
    return wgsl`${enable(format)}${paramsStruct(this.params)}${tensor(1, "x", "read", format)}${tensor(2, "y", "write", format)}
${overQuads(
  { lanes },
  `
  let x = load4_x(i) / params.bound;
  let near = select(x, 9.0 * sign(x), abs(x) > vec4f(9.0));
  store4_y(i, params.bound * tanh(near));`,
)}`;
  },
};
