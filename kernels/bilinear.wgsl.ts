/**
 * torch.nn.functional.interpolate(mode="bilinear") on NHWC: each pixel lies between four of the source, whose places are computed in f32
 * as torch does, by the centres of pixels, or (`corners`, torch's align_corners) with the corners of both images on each other.
 */
import { overElements, STREAM_PARAMS, type StreamVariant } from "./streams.js";
import { enable, paramsStruct, tensor, u32s, wgsl, type Format, type Kernel } from "./wgsl.js";

export interface BilinearVariant extends StreamVariant {
  format: Format;
  aligned: boolean;
  corners: boolean;
}

export const bilinear: Kernel<BilinearVariant> = {
  name: "bilinear",
  /** `scale_…`: from a step between pixels of the result to steps of the source. */
  params: {
    ...STREAM_PARAMS,
    ...u32s("size", "height", "width", "channels", "out_height", "out_width"),
    scale_y: "f32",
    scale_x: "f32",
  },
  bindings: () => ["read", "write"],
  source({ format, aligned, corners, lanes }) {
    const value = aligned ? "vec4f" : "f32";
    const load = aligned ? "load4_x(at >> 2u)" : "load_x(at)";
    return wgsl`${enable(format)}${paramsStruct(this.params)}${tensor(1, "x", "read", format)}${tensor(2, "y", "write", format)}
/** Where pixel i lies in the source. */
fn place(i: u32, scale: f32) -> f32 {
  #if ${corners}
  return f32(i) * scale;
  #else
  return max((f32(i) + 0.5) * scale - 0.5, 0.0);
  #endif
}
fn pixel(image: u32, row: u32, column: u32, c: u32) -> ${value} {
  let at = ((image * params.height + row) * params.width + column) * params.channels + c;
  return ${load};
}
fn blended(element: u32) -> ${value} {
  let e = min(element, params.size - 1u);
  let c = e % params.channels;
  let row = e / params.channels / params.out_width;
  let image = row / params.out_height;
  let y = place(row % params.out_height, params.scale_y);
  let x = place(e / params.channels % params.out_width, params.scale_x);
  let top = min(u32(y), params.height - 1u);
  let left = min(u32(x), params.width - 1u);
  let bottom = min(top + 1u, params.height - 1u);
  let right = min(left + 1u, params.width - 1u);
  let down = y - f32(top);
  let across = x - f32(left);
  return (1.0 - down) * ((1.0 - across) * pixel(image, top, left, c) + across * pixel(image, top, right, c))
    + down * ((1.0 - across) * pixel(image, bottom, left, c) + across * pixel(image, bottom, right, c));
}
${overElements({ lanes }, "blended", aligned)}`;
  },
};
