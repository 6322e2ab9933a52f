/** Nearest-neighbour resize on NHWC to any size: source = floor(target * in / out), in f32 as torch computes it. */
import { enable, linearWorkgroup, paramsStruct, range, tensor, u32s, wgsl, type Format, type Kernel } from "./wgsl.js";

export const WORKGROUP_SIZE = 64;

export const upsample: Kernel<{ format: Format; aligned: boolean }> = {
  name: "upsample",
  params: {
    ...u32s("quads", "size", "height", "width", "channels", "out_height", "out_width"),
    scale_y: "f32",
    scale_x: "f32",
  },
  bindings: () => ["read", "write"],
  source({ format, aligned }) {
    return wgsl`${enable(format)}${paramsStruct(this.params)}${tensor(1, "x", "read", format)}${tensor(2, "y", "write", format)}
fn at(element: u32) -> u32 {
  let e = min(element, params.size - 1u);
  let pixel = e / params.channels;
  let x = min(u32(f32(pixel % params.out_width) * params.scale_x), params.width - 1u);
  let row = pixel / params.out_width;
  let y = min(u32(f32(row % params.out_height) * params.scale_y), params.height - 1u);
  return ((row / params.out_height * params.height + y) * params.width + x) * params.channels + e % params.channels;
}
@compute @workgroup_size(${WORKGROUP_SIZE})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) local: u32) {
  let i = ${linearWorkgroup} * ${WORKGROUP_SIZE}u + local;
  if (i >= params.quads) { return; }
  #if ${aligned}
  store4_y(i, load4_x(at(4u * i) >> 2u));
  #else
  store4_y(i, vec4f(${range(4)
    .map((lane) => `load_x(at(4u * i + ${lane}u))`)
    .join(", ")}));
  #endif
}`;
  },
};
