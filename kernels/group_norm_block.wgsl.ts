/**
 * Group normalisation on GPUs (formula: group_norm.ts), by blocks of channels: `blockStatistics`, which leaves few numbers, then
 * `blockApply`, whose workgroups merge what they need of them; or, where a block is small, `blockNorm` alone.
 */
import { blockEntry, blockParams, blockSources, type BlockVariant } from "./group_norm_block.js";
import { blockMoments, momentsMemory } from "./group_norm_block_moments.js";
import { blockStream, streamTensors, type StreamVariant } from "./group_norm_block_stream.js";
import { enable, paramsStruct, wgsl, type Access, type Kernel } from "./wgsl.js";

/** Parts of groups that a workgroup of `blockApply` merges at most. */
export const PARTS = 1024;

const behind = ({ joined }: BlockVariant): Access[] => (joined ? ["read"] : []);

/** parts[image, split, group] = (mean, M2) over the pixels of the split. */
export const blockStatistics: Kernel<BlockVariant> = {
  name: "group_norm block statistics",
  params: blockParams,
  bindings: (variant) => ["read", "write", ...behind(variant)],
  source(variant) {
    return wgsl`${enable(variant.format)}${paramsStruct(this.params)}${blockSources(variant, 3)}${momentsMemory(variant)}
@group(0) @binding(2) var<storage, read_write> parts: array<vec2f>;
${blockEntry(
  variant,
  `  let image = workgroup.z;
${blockMoments(variant)}
  if (local < groups) {
    let all = params.channels / params.per_group;
    parts[(image * grid.y + workgroup.y) * all + first_channel / params.per_group + local] = group;
  }`,
)}`;
  },
};

/**
 * y from x and the `splits` parts of each group; `lines` is how many the statistics had, which says how many pixels each part has.
 * Last image first, see blockStream.
 */
export const blockApply: Kernel<StreamVariant> = {
  name: "group_norm block apply",
  params: { ...blockParams, splits: "u32", lines: "u32", eps: "f32" },
  bindings: (variant) => ["read", "read", "read", "read", "write", ...behind(variant)],
  source(variant) {
    return wgsl`${enable(variant.format)}${paramsStruct(this.params)}${blockSources(variant, 6)}${streamTensors(variant, 3)}
@group(0) @binding(2) var<storage, read> parts: array<vec2f>;
var<workgroup> near: array<vec2f, ${PARTS}>;
${blockEntry(
  variant,
  `  let image = grid.z - 1u - workgroup.z;
  let all = params.channels / params.per_group;
  for (var i = local; i < groups * params.splits; i += ${variant.threads}u) {
    near[i] = parts[(image * params.splits + i / groups) * all + first_channel / params.per_group + i % groups];
  }
  workgroupBarrier();
  // Chan, Golub & LeVeque 1979, all parts at once; means are those above the first one: small, so that adding them rounds little.
  if (local < groups) {
    let origin = near[local].x;
    var mean = 0.0;
    for (var s = 0u; s < params.splits; s++) {
      mean += (near[s * groups + local].x - origin) * f32(pixels_of(s, params.lines, params.splits));
    }
    mean /= f32(params.spatial);
    var m2 = 0.0;
    for (var s = 0u; s < params.splits; s++) {
      let off = near[s * groups + local].x - origin - mean;
      m2 += near[s * groups + local].y + off * off * f32(pixels_of(s, params.lines, params.splits) * params.per_group);
    }
    let root = inverseSqrt(m2 / f32(params.spatial * params.per_group) + params.eps);
    moments[local] = vec2f(origin + mean, root);
  }
  workgroupBarrier();
${blockStream(variant)}`,
)}`;
  },
};

/** y from x, in one go: a block's pixels are one split, which its workgroup reads a second time from its cache. */
export const blockNorm: Kernel<StreamVariant> = {
  name: "group_norm block",
  params: { ...blockParams, eps: "f32" },
  bindings: (variant) => ["read", "read", "read", "write", ...behind(variant)],
  source(variant) {
    return wgsl`${enable(variant.format)}${paramsStruct(this.params)}${blockSources(variant, 5)}${streamTensors(variant, 2)}${momentsMemory(variant)}
${blockEntry(
  variant,
  `  let image = workgroup.z;
${blockMoments(variant)}
  if (local < groups) {
    moments[local] = vec2f(group.x, inverseSqrt(group.y / (n * f32(params.per_group)) + params.eps));
  }
  workgroupBarrier();
${blockStream(variant)}`,
)}`;
  },
};
