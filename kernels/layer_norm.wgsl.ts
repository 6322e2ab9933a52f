/**
 * Layer normalisation (Ba et al. 2016) over rows: y = (x - mean) / sqrt(var + eps) * weight + bias, each element by itself: the
 * reference, for any width. The mean is summed from x - x[0]: a row whose mean is a thousand deviations from zero would otherwise
 * lose its digits. CPU adapters have layer_norm_rows.wgsl.ts, GPUs layer_norm_team.wgsl.ts.
 */
import { overElements, STREAM_PARAMS, type StreamVariant } from "./streams.js";
import { enable, paramsStruct, tensor, u32s, wgsl, type Format, type Kernel } from "./wgsl.js";

export const layerNorm: Kernel<{ format: Format } & StreamVariant> = {
  name: "layer_norm",
  params: { ...STREAM_PARAMS, ...u32s("rows", "width"), eps: "f32" },
  bindings: () => ["read", "read", "read", "write"],
  source({ format, lanes }) {
    return wgsl`${enable(format)}${paramsStruct(this.params)}
${tensor(1, "x", "read", format)}${tensor(2, "weight", "read", format)}${tensor(3, "bias", "read", format)}${tensor(4, "y", "write", format)}
fn element(e: u32) -> f32 {
  let start = min(e / params.width, params.rows - 1u) * params.width;
  var sum = 0.0;
  let origin = load_x(start);
  for (var i = 0u; i < params.width; i++) { sum += load_x(start + i) - origin; }
  let mean = origin + sum / f32(params.width);
  var square = 0.0;
  for (var i = 0u; i < params.width; i++) { let d = load_x(start + i) - mean; square += d * d; }
  let c = e % params.width;
  return (load_x(start + c) - mean) * inverseSqrt(square / f32(params.width) + params.eps) * load_weight(c) + load_bias(c);
}
${overElements({ lanes }, "element", false)}`;
  },
};
