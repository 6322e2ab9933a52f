/** The largest number of each window of pixels, channel by channel, on NHWC; what lies past the edge is zero, as in BiT's padding. */
import { overElements, STREAM_PARAMS, type StreamVariant } from "./streams.js";
import { enable, paramsStruct, tensor, u32s, wgsl, type Format, type Kernel } from "./wgsl.js";

export const maxPool: Kernel<{ format: Format; aligned: boolean } & StreamVariant> = {
  name: "max_pool",
  params: {
    ...STREAM_PARAMS,
    ...u32s("size", "height", "width", "channels", "out_height", "out_width", "kernel", "stride", "top", "left"),
  },
  bindings: () => ["read", "write"],
  source({ format, aligned, lanes }) {
    const value = aligned ? "vec4f" : "f32";
    const load = aligned ? "load4_x(at >> 2u)" : "load_x(at)";
    return wgsl`${enable(format)}${paramsStruct(this.params)}${tensor(1, "x", "read", format)}${tensor(2, "y", "write", format)}
fn pixel(image: u32, row: i32, column: i32, c: u32) -> ${value} {
  if (row < 0 || column < 0 || row >= i32(params.height) || column >= i32(params.width)) { return ${value}(); }
  let at = ((image * params.height + u32(row)) * params.width + u32(column)) * params.channels + c;
  return ${load};
}
fn pooled(element: u32) -> ${value} {
  let e = min(element, params.size - 1u);
  let c = e % params.channels;
  let out_row = e / params.channels / params.out_width;
  let image = out_row / params.out_height;
  let row = i32(out_row % params.out_height * params.stride) - i32(params.top);
  let column = i32(e / params.channels % params.out_width * params.stride) - i32(params.left);
  var most = pixel(image, row, column, c);
  for (var i = 0u; i < params.kernel; i++) {
    for (var j = 0u; j < params.kernel; j++) {
      most = max(most, pixel(image, row + i32(i), column + i32(j), c));
    }
  }
  return most;
}
${overElements({ lanes }, "pooled", aligned)}`;
  },
};
