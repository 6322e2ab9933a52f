/**
 * Layer normalisation (formula: layer_norm.wgsl.ts) of few rows on CPU adapters, in one dispatch instead of two: each costs them
 * 0.1 ms, longer than these rows' work. A workgroup is one subgroup and has a row, which it reads three times, from its cache.
 */
import { enable, linearWorkgroup, paramsStruct, tensor, u32s, wgsl, type Format, type Kernel } from "./wgsl.js";

export interface LayerNormLanesVariant {
  format: Format;
  lanes: number;
}

export const layerNormLanes: Kernel<LayerNormLanesVariant> = {
  name: "layer_norm lanes",
  params: { ...u32s("rows", "quads"), eps: "f32" },
  bindings: () => ["read", "read", "read", "write"],
  source({ format, lanes }) {
    const each = (body: string): string => `for (var i = lane; i < params.quads; i += ${lanes}u) { ${body} }`;
    return wgsl`${enable(format, true)}${paramsStruct(this.params)}${tensor(1, "x", "read", format)}
${tensor(2, "weight", "read", format)}${tensor(3, "bias", "read", format)}${tensor(4, "y", "write", format)}
@compute @workgroup_size(${lanes})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(subgroup_invocation_id) lane: u32) {
  // Behind the last row it is the last again, which is stored once more.
  let start = min(${linearWorkgroup}, params.rows - 1u) * params.quads;
  let n = f32(4u * params.quads);
  // Sums of differences from the first number: a mean far from zero costs no digits.
  let origin = load4_x(start).x;
  var sum = vec4f();
  ${each("sum += load4_x(start + i) - origin;")}
  let mean = origin + subgroupAdd(dot(sum, vec4f(1.0))) / n;
  var square = vec4f();
  ${each("let d = load4_x(start + i) - mean; square += d * d;")}
  let root = inverseSqrt(subgroupAdd(dot(square, vec4f(1.0))) / n + params.eps);
  ${each("store4_y(start + i, (load4_x(start + i) - mean) * root * load4_weight(i) + load4_bias(i));")}
}`;
  },
};
