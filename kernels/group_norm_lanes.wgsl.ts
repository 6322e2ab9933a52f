/**
 * Group normalisation (formula: group_norm.ts) of small tensors on CPU adapters, in one dispatch instead of three: each costs them
 * 0.1 ms, longer than these tensors' work. A workgroup is one subgroup, which has `width` neighbouring columns of quads, whole
 * groups, of one image: lanes side by side have a column each, those of further lines the next pixels. Channels' sums of
 * x - x0, x0 the first pixel's (Chan, Golub & LeVeque 1983, "shifted data"), are added up over lines by shuffles, and joined to
 * groups by differences of their means.
 */
import { activationFunctions } from "./activation.js";
import { bySource } from "./group_norm.js";
import { enable, linearWorkgroup, paramsStruct, tensor, u32s, wgsl, type Format, type Kernel } from "./wgsl.js";

export interface GroupNormLanesVariant {
  format: Format;
  lanes: number;
  silu: boolean;
  joined: boolean;
}

/** `columns` are quads of channels, of which x has `front`; `width` divides them, and no lane is without a column. */
export const groupNormLanes: Kernel<GroupNormLanesVariant> = {
  name: "group_norm lanes",
  params: { ...u32s("count", "spatial", "columns", "front", "width", "per_group"), eps: "f32" },
  bindings: ({ joined }) => ["read", "read", "read", "write", ...(joined ? (["read"] as const) : [])],
  source({ format, lanes, silu, joined }) {
    /** Every pixel of the lane's column: `body` sees it as `value`; `before` is told how the first is loaded. */
    const pixels = (body: string, before: (first: string) => string = () => ""): string =>
      bySource(joined, "column", "params.columns", (source, quads, skipped) => {
        const load = (pixel: string): string =>
          `load4_${source}((image * params.spatial + ${pixel}) * ${quads} + column${skipped})`;
        return `
    ${before(load("0u"))}
    for (var pixel = line; pixel < params.spatial; pixel += lines) {
      let value = ${load("pixel")};
      ${body}
    }`;
      });
    const normal = "(value - mean) * scale + bias";
    return wgsl`${enable(format, true)}${paramsStruct(this.params)}${tensor(1, "x", "read", format)}
${tensor(2, "weight", "read", format)}${tensor(3, "bias", "read", format)}${tensor(4, "y", "write", format)}
${joined ? tensor(5, "skip", "read", format) : ""}
${activationFunctions}
@compute @workgroup_size(${lanes})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(subgroup_invocation_id) lane: u32) {
  let width = params.width;
  // Behind the last block it is the last again, which is stored once more.
  let block = min(${linearWorkgroup}, params.count - 1u);
  let blocks = params.columns / width;
  let image = block / blocks;
  let own = lane % width;
  let column = block % blocks * width + own;
  let lines = ${lanes}u / width;
  // Lanes of no whole line have no pixel.
  let line = select(params.spatial, lane / width, lane / width < lines);
  var x0 = vec4f();
  var sum = vec4f();
  var square = vec4f();
  ${pixels("let d = value - x0; sum += d; square += d * d;", (first) => `x0 = ${first};`)}
  var total = vec4f();
  var m2 = vec4f();
  for (var l = 0u; l < lines; l++) {
    total += subgroupShuffle(sum, own + l * width);
    m2 += subgroupShuffle(square, own + l * width);
  }
  let n = f32(params.spatial);
  let middle = x0 + total / n;
  m2 -= total * total / n;
  let channels = 4u * own + vec4u(0u, 1u, 2u, 3u);
  let groups = channels / params.per_group;
  // Of the group of each of the lane's channels: the means' differences from that channel's, their squares, and M2 of all.
  var off = vec4f();
  var off2 = vec4f();
  var all = vec4f();
  for (var i = 0u; i < width; i++) {
    let means = subgroupShuffle(middle, i);
    let squares = subgroupShuffle(m2, i);
    for (var k = 0u; k < 4u; k++) {
      let same = groups == vec4u((4u * i + k) / params.per_group);
      let d = select(vec4f(), means[k] - middle, same);
      off += d;
      off2 += d * d;
      all += select(vec4f(), vec4f(squares[k]), same);
    }
  }
  let count = f32(params.per_group);
  let variance = max(all / n + off2 - off * off / count, vec4f()) / count;
  let mean = middle + off / count;
  let scale = inverseSqrt(variance + params.eps) * load4_weight(column);
  let bias = load4_bias(column);
  ${pixels(`store4_y((image * params.spatial + pixel) * params.columns + column, ${silu ? `silu(${normal})` : normal});`)}
}`;
  },
};
