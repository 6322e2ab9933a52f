/** Elementwise kernels whose coefficients differ from sample to sample of a batch. */
import { overElements, STREAM_PARAMS, type StreamVariant } from "./streams.js";
import { enable, paramsStruct, tensor, u32s, wgsl, type Format, type Kernel } from "./wgsl.js";

/** y[b, …] = c[b, 0] x0[b, …] + c[b, 1] x1[b, …]; `width` is the size of a sample, c is float32. */
export const mixSamples: Kernel<{ format: Format } & StreamVariant> = {
  name: "mix_samples",
  params: { ...STREAM_PARAMS, ...u32s("width", "batch") },
  bindings: () => ["read", "read", "read", "write"],
  source({ format, lanes }) {
    return wgsl`${enable(format)}${paramsStruct(this.params)}
${tensor(1, "x0", "read", format)}${tensor(2, "x1", "read", format)}${tensor(3, "c", "read", "f32")}${tensor(4, "y", "write", format)}
fn mixed(e: u32) -> f32 {
  let b = min(e / params.width, params.batch - 1u);
  return load_c(2u * b) * load_x0(e) + load_c(2u * b + 1u) * load_x1(e);
}
${overElements({ lanes }, "mixed", false)}`;
  },
};
