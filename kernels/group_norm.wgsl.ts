/**
 * Group normalisation (Wu & He 2018) on NHWC: y = (x - mean) / sqrt(var + eps) * weight + bias, mean and var over the
 * pixels and channels of one group of one image; optionally followed by SiLU.
 *
 * `statistics` gives mean and M2 of each channel over some of the pixels: neighbouring threads read neighbouring quads, and
 * x is read once. `merge` joins channels and runs of pixels to groups by Chan's formula. `apply` normalises some pixels of a
 * quad of channels per thread. M2 is summed from x - x0, x0 the channel's first pixel of the run (Chan, Golub & LeVeque 1983,
 * "shifted data"), and corrected by the mean: E[x²] - mean² would cancel. The plain kernels, for channels that fill no quads,
 * are the reference.
 */
import { activationFunctions } from "./activation.js";
import { enable, linearWorkgroup, paramsStruct, tensor, u32s, wgsl, type Format, type Kernel } from "./wgsl.js";

export const WORKGROUP_SIZE = 64;
/** Pixels that a thread of `apply` normalises: what it knows of its channels is used so often. */
export const PIXELS = 16;

const entry = `@compute @workgroup_size(${WORKGROUP_SIZE})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) local: u32) {
  let i = ${linearWorkgroup} * ${WORKGROUP_SIZE}u + local;`;

/** y[image, split, channel] = (mean, M2) over the pixels of the split. `count` is images * splits * quads of channels. */
export const statistics: Kernel<{ format: Format; plain: boolean }> = {
  name: "group_norm statistics",
  params: u32s("spatial", "channels", "splits", "count"),
  bindings: () => ["read", "write"],
  source({ format, plain }) {
    return wgsl`${enable(format)}${paramsStruct(this.params)}${tensor(1, "x", "read", format)}${tensor(2, "y", "write", "f32")}
#if ${plain}
fn column(at: u32, pixel: u32) -> vec4f {
  var quad = vec4f();
  for (var lane = 0u; lane < 4u; lane++) { quad[lane] = load_x(pixel * params.channels + min(4u * at + lane, params.channels - 1u)); }
  return quad;
}
#else
fn column(at: u32, pixel: u32) -> vec4f { return load4_x(pixel * (params.channels >> 2u) + at); }
#endif
${entry}
  if (i >= params.count) { return; }
  let quads = (params.channels + 3u) / 4u;
  let at = i % quads;
  let split = (i / quads) % params.splits;
  let image = i / quads / params.splits;
  let first = image * params.spatial + split * params.spatial / params.splits;
  let end = image * params.spatial + (split + 1u) * params.spatial / params.splits;
  let x0 = column(at, first);
  var sum = vec4f();
  var square = vec4f();
  for (var pixel = first + 1u; pixel < end; pixel++) {
    let d = column(at, pixel) - x0;
    sum += d;
    square += d * d;
  }
  let n = f32(end - first);
  let mean = x0 + sum / n;
  let m2 = max(square - sum * sum / n, vec4f());
  store4_y(2u * i, vec4f(mean.x, m2.x, mean.y, m2.y));
  store4_y(2u * i + 1u, vec4f(mean.z, m2.z, mean.w, m2.w));
}`;
  },
};

/** A workgroup per group joins its channels and splits: Chan, Golub & LeVeque 1979. */
export const merge: Kernel = {
  name: "group_norm merge",
  params: u32s("spatial", "channels", "groups", "splits"),
  bindings: () => ["read", "write"],
  source() {
    return wgsl`${paramsStruct(this.params)}${tensor(1, "x", "read", "f32")}${tensor(2, "y", "write", "f32")}
/** (count, mean, M2) of both together. */
fn join(a: vec3f, b: vec3f) -> vec3f {
  let n = a.x + b.x;
  let delta = b.y - a.y;
  let share = b.x / max(n, 1.0);
  return vec3f(n, a.y + delta * share, a.z + b.z + delta * delta * a.x * share);
}
var<workgroup> parts: array<vec3f, ${WORKGROUP_SIZE}>;
@compute @workgroup_size(${WORKGROUP_SIZE})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) local: u32) {
  let image = workgroup.x / params.groups;
  let per_group = params.channels / params.groups;
  let channel = (workgroup.x % params.groups) * per_group;
  let stride = (params.channels + 3u) / 4u * 4u;
  var all = vec3f();
  for (var i = local; i < per_group * params.splits; i += ${WORKGROUP_SIZE}u) {
    let split = i / per_group;
    let e = (image * params.splits + split) * stride + channel + i % per_group;
    let pair = load4_x(e >> 1u);
    let n = f32((split + 1u) * params.spatial / params.splits - split * params.spatial / params.splits);
    all = join(all, vec3f(n, select(pair.xy, pair.zw, (e & 1u) == 1u)));
  }
  parts[local] = all;
  workgroupBarrier();
  if (local > 0u) { return; }
  for (var i = 1u; i < ${WORKGROUP_SIZE}u; i++) { all = join(all, parts[i]); }
  store4_y(workgroup.x, vec4f(all, 0.0));
}`;
  },
};

/** What apply multiplies and adds: y = x * scale + shift for four channels of an image. */
const coefficients = (aligned: boolean): string => wgsl`
struct Coefficients { scale: vec4f, shift: vec4f }
/** Mean and 1/sqrt(var + eps) of a channel's group. */
fn moments(image: u32, channel: u32) -> vec2f {
  let s = load4_statistics(image * params.groups + channel / (params.channels / params.groups));
  return vec2f(s.y, inverseSqrt(s.z / s.x + params.eps));
}
/** The mean apart: x - mean first keeps the digits where the mean is large. */
fn coefficients(image: u32, at: u32, mean: ptr<function, vec4f>) -> Coefficients {
  var root: vec4f;
  #if ${aligned}
  let m = moments(image, 4u * at);
  *mean = vec4f(m.x);
  root = vec4f(m.y);
  #else
  // A quad may straddle groups (of 10 or 30 channels).
  for (var lane = 0u; lane < 4u; lane++) {
    let m = moments(image, 4u * at + lane);
    (*mean)[lane] = m.x;
    root[lane] = m.y;
  }
  #endif
  return Coefficients(root * load4_weight(at), load4_bias(at));
}`;

/** `aligned`: groups of a multiple of 4 channels, so that a quad lies in one group. `plain`: any number of channels. */
export const apply: Kernel<{ format: Format; silu: boolean; by: "aligned" | "straddling" | "plain" }> = {
  name: "group_norm apply",
  params: { ...u32s("count", "size", "spatial", "channels", "groups"), eps: "f32" },
  bindings: () => ["read", "read", "read", "read", "write"],
  source({ format, silu, by }) {
    const done = (y: string): string => (silu ? `silu(${y})` : y);
    return wgsl`${enable(format)}${paramsStruct(this.params)}${tensor(1, "x", "read", format)}${tensor(2, "statistics", "read", "f32")}
${tensor(3, "weight", "read", format)}${tensor(4, "bias", "read", format)}${tensor(5, "y", "write", format)}${activationFunctions}
${coefficients(by === "aligned")}
${entry}
  if (i >= params.count) { return; }
  #if ${by === "plain"}
  var quad: vec4f;
  for (var lane = 0u; lane < 4u; lane++) {
    let e = min(4u * i + lane, params.size - 1u);
    let c = e % params.channels;
    let m = moments(e / (params.spatial * params.channels), c);
    quad[lane] = (load_x(e) - m.x) * m.y * load_weight(c) + load_bias(c);
  }
  store4_y(i, ${done("quad")});
  #else
  let quads = params.channels >> 2u;
  let at = i % quads;
  let runs = (params.spatial + ${PIXELS - 1}u) / ${PIXELS}u;
  let image = i / quads / runs;
  let first = (i / quads % runs) * ${PIXELS}u;
  var mean: vec4f;
  let c = coefficients(image, at, &mean);
  let end = image * params.spatial + min(first + ${PIXELS}u, params.spatial);
  for (var pixel = image * params.spatial + first; pixel < end; pixel++) {
    let y = (load4_x(pixel * quads + at) - mean) * c.scale + c.shift;
    store4_y(pixel * quads + at, ${done("y")});
  }
  #endif
}`;
  },
};
