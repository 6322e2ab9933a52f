/**
 * Rescaled guidance (Lin et al. 2023, "Common Diffusion Noise Schedules and Sample Steps are Flawed", section 3.4):
 * y = rescale * guided * std(text) / std(guided) + (1 - rescale) * guided, std over each image (unbiased, as torch.std).
 * One workgroup per image; a latent image is a few thousand numbers.
 */
import { paramsStruct, tensor, u32s, wgsl, type Kernel } from "./wgsl.js";

const WORKGROUP_SIZE = 64;

export const guidanceRescale: Kernel = {
  name: "guidance_rescale",
  params: { ...u32s("quads"), rescale: "f32" },
  bindings: () => ["read", "read", "write"],
  source() {
    const reduce = (name: string): string => `
  scratch[local] = ${name};
  workgroupBarrier();
  ${name} = vec2f();
  for (var i = 0u; i < ${WORKGROUP_SIZE}u; i++) { ${name} += scratch[i]; }
  workgroupBarrier();`;
    return wgsl`${paramsStruct(this.params)}${tensor(1, "guided", "read", "f32")}${tensor(2, "text", "read", "f32")}${tensor(3, "y", "write", "f32")}
var<workgroup> scratch: array<vec2f, ${WORKGROUP_SIZE}>;
fn total(v: vec4f) -> f32 { return dot(v, vec4f(1.0)); }
@compute @workgroup_size(${WORKGROUP_SIZE})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) local: u32) {
  let first = workgroup.x * params.quads;
  let n = f32(4u * params.quads);
  var sum = vec2f();
  for (var i = local; i < params.quads; i += ${WORKGROUP_SIZE}u) {
    sum += vec2f(total(load4_guided(first + i)), total(load4_text(first + i)));
  }
${reduce("sum")}
  let mean = sum / n;
  var square = vec2f();
  for (var i = local; i < params.quads; i += ${WORKGROUP_SIZE}u) {
    let a = load4_guided(first + i) - mean.x;
    let b = load4_text(first + i) - mean.y;
    square += vec2f(dot(a, a), dot(b, b));
  }
${reduce("square")}
  let ratio = sqrt(square.y / square.x);
  let factor = params.rescale * ratio + 1.0 - params.rescale;
  for (var i = local; i < params.quads; i += ${WORKGROUP_SIZE}u) { store4_y(first + i, load4_guided(first + i) * factor); }
}`;
  },
};
