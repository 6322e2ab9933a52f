/**
 * Fades from the end of `a` to the start of `b` along one axis, as diffusers' blend_v and blend_h of VAE tiles:
 * y[n] = a[na - extent + n] * (1 - n / extent) + b[n] * (n / extent) for n < extent, y[n] = b[n] beyond.
 * The axis has `inner` elements after it; axes before it are the same in both.
 */
import { overElements, STREAM_PARAMS, type StreamVariant } from "./streams.js";
import { enable, paramsStruct, tensor, u32s, wgsl, type Format, type Kernel } from "./wgsl.js";

export const blend: Kernel<{ format: Format } & StreamVariant> = {
  name: "blend",
  params: { ...STREAM_PARAMS, ...u32s("size", "count_a", "count_b", "inner", "extent") },
  bindings: () => ["read", "read", "write"],
  source({ format, lanes }) {
    return wgsl`${enable(format)}${paramsStruct(this.params)}${tensor(1, "a", "read", format)}${tensor(2, "b", "read", format)}${tensor(3, "y", "write", format)}
fn element(index: u32) -> f32 {
  let e = min(index, params.size - 1u);
  let row = e / params.inner;
  let n = row % params.count_b;
  let b = load_b(e);
  if (n >= params.extent) { return b; }
  let start = (row / params.count_b) * params.count_a + params.count_a - params.extent + n;
  let t = f32(n) / f32(params.extent);
  return load_a(start * params.inner + e % params.inner) * (1.0 - t) + b * t;
}
${overElements({ lanes }, "element", false)}`;
  },
};
