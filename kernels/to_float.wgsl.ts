/** y = f32(x) of 32-bit integers. */
import { overQuads, STREAM_PARAMS, type StreamVariant } from "./streams.js";
import { paramsStruct, tensor, wgsl, type Kernel } from "./wgsl.js";

export const toFloat: Kernel<StreamVariant> = {
  name: "to_float",
  params: STREAM_PARAMS,
  bindings: () => ["read", "write"],
  source({ lanes }) {
    return wgsl`${paramsStruct(this.params)}
@group(0) @binding(1) var<storage, read> x: array<vec4i>;
${tensor(2, "y", "write", "f32")}
${overQuads(
  { lanes },
  `
  store4_y(i, vec4f(x[i]));`,
)}`;
  },
};
