/**
 * y = activation(x * (1 + scale) + shift) on NHWC, with a scale and a shift per image and channel: the table's row b holds
 * the scales of all channels, then their shifts (FiLM; "scale_shift" of diffusers' ResNet blocks).
 */
import { activate, activationFunctions, type Activation } from "./activation.js";
import { eachElement, overQuads, STREAM_PARAMS, type StreamVariant } from "./streams.js";
import { enable, paramsStruct, tensor, u32s, wgsl, type Format, type Kernel } from "./wgsl.js";

export const modulate: Kernel<{ format: Format; aligned: boolean; activation: Activation } & StreamVariant> = {
  name: "modulate",
  /** `spatial`: pixels of one image. The table's rows lie `table_stride` elements apart (0: one for all), the first at `table_start`. */
  params: { ...STREAM_PARAMS, ...u32s("size", "spatial", "channels", "table_stride", "table_start") },
  bindings: () => ["read", "read", "write"],
  source({ format, aligned, activation, lanes }) {
    return wgsl`${enable(format)}${paramsStruct(this.params)}${activationFunctions}
${tensor(1, "x", "read", format)}${tensor(2, "table", "read", format)}${tensor(3, "y", "write", format)}
/** Where the table has the scale of an element of x. */
fn at(element: u32) -> u32 {
  let e = min(element, params.size - 1u);
  return params.table_start + e / (params.channels * params.spatial) * params.table_stride + e % params.channels;
}
fn scale_of(element: u32) -> f32 { return load_table(at(element)); }
fn shift_of(element: u32) -> f32 { return load_table(at(element) + params.channels); }
${overQuads(
  { lanes },
  wgsl`
  #if ${aligned}
  let scale = load4_table(at(4u * i) >> 2u);
  let shift = load4_table((at(4u * i) + params.channels) >> 2u);
  #else
  let scale = ${eachElement("scale_of")};
  let shift = ${eachElement("shift_of")};
  #endif
  store4_y(i, ${activate(activation, "load4_x(i) * (1.0 + scale) + shift")});`,
)}`;
  },
};
