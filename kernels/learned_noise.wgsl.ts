/** y = noise * exp(offset + slope v): noise whose deviation a model predicts per element (Nichol & Dhariwal 2021, formula 15). */
import { overQuads, STREAM_PARAMS, type StreamVariant } from "./streams.js";
import { enable, paramsStruct, tensor, wgsl, type Format, type Kernel } from "./wgsl.js";

export const learnedNoise: Kernel<{ format: Format } & StreamVariant> = {
  name: "learned_noise",
  params: { ...STREAM_PARAMS, offset: "f32", slope: "f32" },
  bindings: () => ["read", "read", "write"],
  source({ format, lanes }) {
    return wgsl`${enable(format)}${paramsStruct(this.params)}
${tensor(1, "noise", "read", format)}${tensor(2, "v", "read", format)}${tensor(3, "y", "write", format)}
${overQuads(
  { lanes },
  `
  store4_y(i, load4_noise(i) * exp(params.offset + params.slope * load4_v(i)));`,
)}`;
  },
};
