/**
 * Group normalisation (Wu & He 2018) on NHWC: y = (x - mean) / sqrt(var + eps) * weight + bias, mean and var over the
 * pixels and channels of one group of one image; optionally followed by SiLU.
 *
 * Three kernels: `statistics` gives (count, mean, M2) of each split of a group, `merge` joins the splits by Chan's
 * formula (where there is more than one), `apply` normalises. M2 is summed from x - mean: E[x²] - mean² cancels.
 */
import { activationFunctions } from "./activation.js";
import { enable, linearWorkgroup, paramsStruct, tensor, u32s, wgsl, type Format, type Kernel } from "./wgsl.js";

export const WORKGROUP_SIZE = 64;

/** `workgroup`: a workgroup per split of a group. `thread`: a thread per split, for CPU adapters, where barriers cost more
 *  than they save. */
export const statistics: Kernel<{ format: Format; by: "workgroup" | "thread" }> = {
  name: "group_norm statistics",
  params: u32s("spatial", "channels", "groups", "splits", "count"),
  bindings: () => ["read", "write"],
  source({ format, by }) {
    const loop = (body: string, step: string): string =>
      `for (var i = ${step === "1u" ? "0u" : "local"}; i < size; i += ${step}) { ${body} }`;
    const element = "load_x(base + (i / per_group) * params.channels + i % per_group)";
    return wgsl`${enable(format)}${paramsStruct(this.params)}${tensor(1, "x", "read", format)}${tensor(2, "y", "write", "f32")}
#if ${by === "workgroup"}
var<workgroup> sums: array<f32, ${WORKGROUP_SIZE}>;
var<workgroup> squares: array<f32, ${WORKGROUP_SIZE}>;
#endif
@compute @workgroup_size(${WORKGROUP_SIZE})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) local: u32) {
  #if ${by === "workgroup"}
  let part = ${linearWorkgroup};
  #else
  let part = ${linearWorkgroup} * ${WORKGROUP_SIZE}u + local;
  #endif
  if (part >= params.count) { return; }
  let split = part % params.splits;
  let group = (part / params.splits) % params.groups;
  let image = part / params.splits / params.groups;
  let per_group = params.channels / params.groups;
  let first = split * params.spatial / params.splits;
  let size = ((split + 1u) * params.spatial / params.splits - first) * per_group;
  let base = (image * params.spatial + first) * params.channels + group * per_group;
  // Sums of x - x0 for some x0 of the group keep their digits where the mean is large.
  let x0 = load_x(base);
  var sum = 0.0;
  var square = 0.0;
  #if ${by === "workgroup"}
  ${loop(`sum += ${element} - x0;`, `${WORKGROUP_SIZE}u`)}
  sums[local] = sum;
  workgroupBarrier();
  sum = 0.0;
  for (var i = 0u; i < ${WORKGROUP_SIZE}u; i++) { sum += sums[i]; }
  let mean = x0 + sum / f32(size);
  ${loop(`let d = ${element} - mean; square += d * d;`, `${WORKGROUP_SIZE}u`)}
  squares[local] = square;
  workgroupBarrier();
  if (local > 0u) { return; }
  square = 0.0;
  for (var i = 0u; i < ${WORKGROUP_SIZE}u; i++) { square += squares[i]; }
  #else
  ${loop(`sum += ${element} - x0;`, "1u")}
  let mean = x0 + sum / f32(size);
  ${loop(`let d = ${element} - mean; square += d * d;`, "1u")}
  #endif
  store4_y(part, vec4f(f32(size), mean, square, 0.0));
}`;
  },
};

/** One thread per group joins its splits: Chan, Golub & LeVeque 1979. */
export const merge: Kernel = {
  name: "group_norm merge",
  params: u32s("count", "splits"),
  bindings: () => ["read", "write"],
  source() {
    return wgsl`${paramsStruct(this.params)}${tensor(1, "x", "read", "f32")}${tensor(2, "y", "write", "f32")}
@compute @workgroup_size(${WORKGROUP_SIZE})
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= params.count) { return; }
  var all = load4_x(id.x * params.splits);
  for (var i = 1u; i < params.splits; i++) {
    let part = load4_x(id.x * params.splits + i);
    let n = all.x + part.x;
    let delta = part.y - all.y;
    all = vec4f(n, all.y + delta * part.x / n, all.z + part.z + delta * delta * all.x * part.x / n, 0.0);
  }
  store4_y(id.x, all);
}`;
  },
};

/** `aligned`: groups of a multiple of 4 channels, so that a quad lies in one group. */
export const apply: Kernel<{ format: Format; silu: boolean; aligned: boolean }> = {
  name: "group_norm apply",
  params: { ...u32s("quads", "size", "spatial", "channels", "groups"), eps: "f32" },
  bindings: () => ["read", "read", "read", "read", "write"],
  source({ format, silu, aligned }) {
    return wgsl`${enable(format)}${paramsStruct(this.params)}${tensor(1, "x", "read", format)}${tensor(2, "statistics", "read", "f32")}
${tensor(3, "weight", "read", format)}${tensor(4, "bias", "read", format)}${tensor(5, "y", "write", format)}${activationFunctions}
/** Mean and 1/sqrt(var + eps) of an element's group. */
fn moments(image: u32, channel: u32) -> vec2f {
  let s = load4_statistics(image * params.groups + channel / (params.channels / params.groups));
  return vec2f(s.y, inverseSqrt(s.z / s.x + params.eps));
}
@compute @workgroup_size(${WORKGROUP_SIZE})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) local: u32) {
  let i = ${linearWorkgroup} * ${WORKGROUP_SIZE}u + local;
  if (i >= params.quads) { return; }
  let x = load4_x(i);
  let image_size = params.spatial * params.channels;
  var mean: vec4f;
  var scale: vec4f;
  var shift: vec4f;
  let channel = (4u * i) % params.channels;
  #if ${aligned}
  let m = moments(4u * i / image_size, channel);
  mean = vec4f(m.x);
  scale = vec4f(m.y) * load4_weight(channel >> 2u);
  shift = load4_bias(channel >> 2u);
  #else
    // A quad may straddle groups (10 or 30 channels each), pixels and images.
    for (var lane = 0u; lane < 4u; lane++) {
      let e = min(4u * i + lane, params.size - 1u);
      let c = e % params.channels;
      let m = moments(e / image_size, c);
      mean[lane] = m.x;
      scale[lane] = m.y * load_weight(c);
      shift[lane] = load_bias(c);
    }
  #endif
  let y = (x - mean) * scale + shift;
  #if ${silu}
  store4_y(i, silu(y));
  #else
  store4_y(i, y);
  #endif
}`;
  },
};
