/** Nearest-neighbour resize on NHWC to any size: source = floor(target * in / out), in f32 as torch computes it. */
import { eachElement, overQuads, STREAM_PARAMS, type StreamVariant } from "./streams.js";
import { paramsStruct, tensor, u32s, wgsl, type BitsFormat, type Kernel } from "./wgsl.js";

const AXES = {
  names: ["c", "x", "y", "image"],
  lengths: ["params.channels >> 2u", "params.out_width", "params.out_height"],
};
const inRow = `  let left = min(u32(f32(x) * params.scale_x), params.width - 1u);
  let top = min(u32(f32(y) * params.scale_y), params.height - 1u);
  store4_y(i, load4_x(((image * params.height + top) * params.width + left) * (params.channels >> 2u) + c));`;

export const upsample: Kernel<{ format: BitsFormat; aligned: boolean } & StreamVariant> = {
  name: "upsample",
  params: {
    ...STREAM_PARAMS,
    ...u32s("size", "height", "width", "channels", "out_height", "out_width"),
    scale_y: "f32",
    scale_x: "f32",
  },
  bindings: () => ["read", "write"],
  source({ format, aligned, lanes }) {
    return wgsl`${paramsStruct(this.params)}${tensor(1, "x", "read", format)}${tensor(2, "y", "write", format)}
fn at(element: u32) -> u32 {
  let e = min(element, params.size - 1u);
  let pixel = e / params.channels;
  let x = min(u32(f32(pixel % params.out_width) * params.scale_x), params.width - 1u);
  let row = pixel / params.out_width;
  let y = min(u32(f32(row % params.out_height) * params.scale_y), params.height - 1u);
  return ((row / params.out_height * params.height + y) * params.width + x) * params.channels + e % params.channels;
}
fn element(e: u32) -> u32 { return load_x(at(e)); }
${aligned ? overQuads({ lanes }, inRow, AXES) : overQuads({ lanes }, `  store4_y(i, ${eachElement("element", "vec4u")});`)}`;
  },
};
