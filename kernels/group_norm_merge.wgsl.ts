/** Channels and runs of pixels joined to groups: the second of three kernels of group_norm.ts. */
import { beginOfRun } from "./group_norm.js";
import { enable, numbered, paramsStruct, tensor, u32s, wgsl, type Format, type Kernel } from "./wgsl.js";

export interface MergeVariant {
  format: Format;
}

/**
 * y[image] = the mean for each channel, then 1/sqrt(var + eps) * weight of each. Parts are joined by Chan, Golub & LeVeque 1979.
 * `count` is images * groups: a thread each, as parts are few and barriers dear on CPU adapters.
 */
export const merge: Kernel<MergeVariant> = {
  name: "group_norm merge",
  params: { ...u32s("spatial", "channels", "groups", "splits", "count"), eps: "f32" },
  bindings: () => ["read", "read", "write"],
  source({ format }) {
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
${beginOfRun}
${numbered("i")}
  if (i >= params.count) { return; }
  let image = i / params.groups;
  let per_group = params.channels / params.groups;
  let channel = (i % params.groups) * per_group;
  // Means are those above the first one: small, so that joining them rounds little.
  let origin = part(image, channel, 0u).x;
  var all = vec3f();
  for (var k = 0u; k < per_group * params.splits; k++) {
    let split = k / per_group;
    let n = f32(begin_of(split + 1u) - begin_of(split));
    all = join(all, vec3f(n, part(image, channel, k) - vec2f(origin, 0.0)));
  }
  let stride = (params.channels + 3u) / 4u * 4u;
  let root = inverseSqrt(all.z / all.x + params.eps);
  for (var c = channel; c < channel + per_group; c++) {
    y[2u * image * stride + c] = origin + all.y;
    y[(2u * image + 1u) * stride + c] = root * load_weight(c);
  }
}`;
  },
};
