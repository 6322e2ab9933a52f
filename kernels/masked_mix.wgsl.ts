/**
 * Two images through a mask: y[b, c, p] = (1 - mask[b, p]) * a[b, c, p] + mask[b, p] * x[b, c, p], the mask without channels, as
 * diffusers' inpainting lays latents over those of the original. `plane` is height * width, `sample` channels * plane.
 */
import { overElements, STREAM_PARAMS, type StreamVariant } from "./streams.js";
import { enable, paramsStruct, tensor, u32s, wgsl, type Format, type Kernel } from "./wgsl.js";

export const maskedMix: Kernel<{ format: Format } & StreamVariant> = {
  name: "masked_mix",
  params: { ...STREAM_PARAMS, ...u32s("size", "plane", "sample") },
  bindings: () => ["read", "read", "read", "write"],
  source({ format, lanes }) {
    return wgsl`${enable(format)}${paramsStruct(this.params)}
${tensor(1, "a", "read", format)}${tensor(2, "x", "read", format)}${tensor(3, "mask", "read", format)}${tensor(4, "y", "write", format)}
fn mixed(index: u32) -> f32 {
  let e = min(index, params.size - 1u);
  let m = load_mask((e / params.sample) * params.plane + e % params.plane);
  return (1.0 - m) * load_a(e) + m * load_x(e);
}
${overElements({ lanes }, "mixed", false)}`;
  },
};
