/** y = (x - mean) / std, with a mean and a deviation per column, and the way back, x * std + mean. */
import { overElements, STREAM_PARAMS, type StreamVariant } from "./streams.js";
import { enable, paramsStruct, tensor, u32s, wgsl, type Format, type Kernel } from "./wgsl.js";

export const standardize: Kernel<{ format: Format; back: boolean } & StreamVariant> = {
  name: "standardize",
  params: { ...STREAM_PARAMS, ...u32s("size", "width") },
  bindings: () => ["read", "read", "read", "write"],
  source({ format, back, lanes }) {
    return wgsl`${enable(format)}${paramsStruct(this.params)}
${tensor(1, "x", "read", format)}${tensor(2, "mean", "read", format)}${tensor(3, "deviation", "read", format)}${tensor(4, "y", "write", format)}
fn moved(index: u32) -> f32 {
  let e = min(index, params.size - 1u);
  let column = e % params.width;
  #if ${back}
  return load_x(e) * load_deviation(column) + load_mean(column);
  #else
  return (load_x(e) - load_mean(column)) / load_deviation(column);
  #endif
}
${overElements({ lanes }, "moved", false)}`;
  },
};
