/**
 * Group normalisation (Wu & He 2018) on NHWC: y = (x - mean) / sqrt(var + eps) * weight + bias, mean and var over the
 * pixels and channels of one group of one image; optionally followed by SiLU.
 *
 * `statistics` gives mean and M2 of each channel over some of the pixels: neighbouring threads read neighbouring quads, and
 * x is read once. `merge` joins channels and runs of pixels to groups by Chan's formula and says of each channel what is
 * subtracted and what it is multiplied by; `apply` is then a stream. (x - mean first keeps the digits where the mean is large.)
 * M2 is summed from x - x0, x0 the channel's first pixel of the run (Chan, Golub & LeVeque 1983, "shifted data"), and corrected
 * by the mean: E[x²] - mean² would cancel. The plain kernels, for channels that fill no quads, are the reference.
 *
 * `joined`: the channels are those of x and, behind them, those of a second tensor `skip`, as if both were concatenated;
 * groups may straddle the two, quads may not. `front` is the number of quads that x has.
 */
import { activationFunctions } from "./activation.js";
import { enable, linearWorkgroup, paramsStruct, tensor, u32s, wgsl, type Format, type Kernel } from "./wgsl.js";

export const WORKGROUP_SIZE = 64;
/** Pixels that a thread of `apply` normalises: what it knows of its channels is used so often. */
export const PIXELS = 16;

const entry = `@compute @workgroup_size(${WORKGROUP_SIZE})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) local: u32) {
  let i = ${linearWorkgroup} * ${WORKGROUP_SIZE}u + local;`;

/** `body` for the tensor that has quad `at`: a loop, which costs threads that do not run through it next to nothing. */
const bySource = (joined: boolean, body: (source: "x" | "skip", quads: string, at: string) => string): string =>
  joined
    ? `if (at < params.front) {${body("x", "params.front", "at")}
  } else {${body("skip", "(quads - params.front)", "(at - params.front)")}
  }`
    : body("x", "quads", "at");

export interface StatisticsVariant {
  format: Format;
  plain: boolean;
  joined: boolean;
}

/** y[image, split, channel] = (mean, M2) over the pixels of the split. `count` is images * splits * quads of channels. */
export const statistics: Kernel<StatisticsVariant> = {
  name: "group_norm statistics",
  params: u32s("spatial", "channels", "front", "splits", "count"),
  bindings: ({ joined }) => ["read", "write", ...(joined ? (["read"] as const) : [])],
  source({ format, plain, joined }) {
    // The first pixel adds nothing to sums of x - x0: leaving it out makes the number of the others even.
    const sums = bySource(
      joined,
      (source, quads, at) => `
    x0 = column_${source}(first * ${quads} + ${at});
    let stride = ${quads};
    var e = (first + (pixels & 1u)) * stride + ${at};
    for (var k = 0u; k < pixels / 2u; k++) {
      let d = column_${source}(e) - x0;
      let next = column_${source}(e + stride) - x0;
      sum += d + next;
      square += d * d + next * next;
      e += 2u * stride;
    }`,
    );
    return wgsl`${enable(format)}${paramsStruct(this.params)}${tensor(1, "x", "read", format)}${tensor(2, "y", "write", "f32")}
${joined ? tensor(3, "skip", "read", format) : ""}
#if ${plain}
/** Quad e where each pixel has its last one filled up, with channels that nothing reads. */
fn column_x(e: u32) -> vec4f {
  let quads = (params.channels + 3u) / 4u;
  var quad = vec4f();
  for (var lane = 0u; lane < 4u; lane++) {
    quad[lane] = load_x(e / quads * params.channels + min(4u * (e % quads) + lane, params.channels - 1u));
  }
  return quad;
}
#else
fn column_x(e: u32) -> vec4f { return load4_x(e); }
#endif
#if ${joined}
fn column_skip(e: u32) -> vec4f { return load4_skip(e); }
#endif
${entry}
  if (i >= params.count) { return; }
  let quads = (params.channels + 3u) / 4u;
  let at = i % quads;
  let split = (i / quads) % params.splits;
  let image = i / quads / params.splits;
  let first = image * params.spatial + split * params.spatial / params.splits;
  let pixels = image * params.spatial + (split + 1u) * params.spatial / params.splits - first;
  var x0 = vec4f();
  var sum = vec4f();
  var square = vec4f();
  ${sums}
  let n = f32(pixels);
  let mean = x0 + sum / n;
  let m2 = max(square - sum * sum / n, vec4f());
  store4_y(2u * i, vec4f(mean.x, m2.x, mean.y, m2.y));
  store4_y(2u * i + 1u, vec4f(mean.z, m2.z, mean.w, m2.w));
}`;
  },
};

export interface MergeVariant {
  format: Format;
  /** What joins the parts of a group: a workgroup, or on CPU adapters, where barriers are dear and the parts few, a thread. */
  by: "workgroup" | "thread";
}

/**
 * y[image] = the mean for each channel, then 1/sqrt(var + eps) * weight of each. Parts are joined by Chan, Golub & LeVeque 1979.
 * `count` is images * groups.
 */
export const merge: Kernel<MergeVariant> = {
  name: "group_norm merge",
  params: { ...u32s("spatial", "channels", "groups", "splits", "count"), eps: "f32" },
  bindings: () => ["read", "read", "write"],
  source({ format, by }) {
    return wgsl`${enable(format)}${paramsStruct(this.params)}${tensor(1, "x", "read", "f32")}${tensor(2, "weight", "read", format)}
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
/** (count, mean, M2) of both together. */
fn join(a: vec3f, b: vec3f) -> vec3f {
  let n = a.x + b.x;
  let delta = b.y - a.y;
  let share = b.x / max(n, 1.0);
  return vec3f(n, a.y + delta * share, a.z + b.z + delta * delta * a.x * share);
}
/** (mean, M2) of part i of the group that begins at a channel. */
fn part(image: u32, channel: u32, i: u32) -> vec2f {
  let per_group = params.channels / params.groups;
  let stride = (params.channels + 3u) / 4u * 4u;
  let e = (image * params.splits + i / per_group) * stride + channel + i % per_group;
  let pair = load4_x(e >> 1u);
  return select(pair.xy, pair.zw, (e & 1u) == 1u);
}
/** Every \`step\`th part of a group, from part \`first\`. Means are those above \`origin\`: small, so that joining them rounds little. */
fn parts_of(image: u32, channel: u32, origin: f32, first: u32, step: u32) -> vec3f {
  let per_group = params.channels / params.groups;
  var all = vec3f();
  for (var i = first; i < per_group * params.splits; i += step) {
    let split = i / per_group;
    let n = f32((split + 1u) * params.spatial / params.splits - split * params.spatial / params.splits);
    all = join(all, vec3f(n, part(image, channel, i) - vec2f(origin, 0.0)));
  }
  return all;
}
fn write(image: u32, channel: u32, origin: f32, all: vec3f, first: u32, step: u32) {
  let stride = (params.channels + 3u) / 4u * 4u;
  let root = inverseSqrt(all.z / all.x + params.eps);
  for (var c = channel + first; c < channel + params.channels / params.groups; c += step) {
    y[2u * image * stride + c] = origin + all.y;
    y[(2u * image + 1u) * stride + c] = root * load_weight(c);
  }
}
#if ${by === "thread"}
${entry}
  if (i >= params.count) { return; }
  let image = i / params.groups;
  let channel = (i % params.groups) * (params.channels / params.groups);
  let origin = part(image, channel, 0u).x;
  write(image, channel, origin, parts_of(image, channel, origin, 0u, 1u), 0u, 1u);
}
#else
var<workgroup> parts: array<vec3f, ${WORKGROUP_SIZE}>;
@compute @workgroup_size(${WORKGROUP_SIZE})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) local: u32) {
  let image = workgroup.x / params.groups;
  let channel = (workgroup.x % params.groups) * (params.channels / params.groups);
  let origin = part(image, channel, 0u).x;
  parts[local] = parts_of(image, channel, origin, local, ${WORKGROUP_SIZE}u);
  workgroupBarrier();
  var all = vec3f();
  for (var i = 0u; i < ${WORKGROUP_SIZE}u; i++) { all = join(all, parts[i]); }
  write(image, channel, origin, all, local, ${WORKGROUP_SIZE}u);
}
#endif`;
  },
};

export interface ApplyVariant {
  format: Format;
  silu: boolean;
  plain: boolean;
  joined: boolean;
}

/** y = (x - mean) * scale + bias. `count` is images * runs of pixels * quads of channels; in the plain kernel the quads of y. */
export const apply: Kernel<ApplyVariant> = {
  name: "group_norm apply",
  params: u32s("count", "size", "spatial", "channels", "front"),
  bindings: ({ joined }) => ["read", "read", "read", "write", ...(joined ? (["read"] as const) : [])],
  source({ format, silu, plain, joined }) {
    const done = (y: string): string => (silu ? `silu(${y})` : y);
    const stream = bySource(
      joined,
      (source, quads, of) => `
    for (var pixel = first; pixel < end; pixel++) {
      let y = (load4_${source}(pixel * ${quads} + ${of}) - mean) * scale + b;
      store4_y(pixel * quads + at, ${done("y")});
    }`,
    );
    return wgsl`${enable(format)}${paramsStruct(this.params)}${tensor(1, "x", "read", format)}
${tensor(2, "moments", "read", "f32")}${tensor(3, "bias", "read", format)}${tensor(4, "y", "write", format)}
${joined ? tensor(5, "skip", "read", format) : ""}
${activationFunctions}
${entry}
  if (i >= params.count) { return; }
  let quads = (params.channels + 3u) / 4u;
  #if ${plain}
  var quad: vec4f;
  for (var lane = 0u; lane < 4u; lane++) {
    let e = min(4u * i + lane, params.size - 1u);
    let c = e % params.channels;
    let m = 8u * (e / (params.spatial * params.channels)) * quads + c;
    quad[lane] = (load_x(e) - load_moments(m)) * load_moments(m + 4u * quads) + load_bias(c);
  }
  store4_y(i, ${done("quad")});
  #else
  let at = i % quads;
  let runs = (params.spatial + ${PIXELS - 1}u) / ${PIXELS}u;
  let image = i / quads / runs;
  let run = (i / quads % runs) * ${PIXELS}u;
  let mean = load4_moments(2u * image * quads + at);
  let scale = load4_moments((2u * image + 1u) * quads + at);
  let b = load4_bias(at);
  let first = image * params.spatial + run;
  let end = image * params.spatial + min(run + ${PIXELS}u, params.spatial);
  ${stream}
  #endif
}`;
  },
};
