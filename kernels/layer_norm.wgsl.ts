/**
 * Layer normalisation (Ba et al. 2016) over rows: y = (x - mean) / sqrt(var + eps) * weight + bias. The mean is summed from
 * x - x[0]: a row whose mean is a thousand deviations from zero would otherwise lose its digits.
 * `plain`: a thread per quad of y, any width. `rows`: a thread per row, of whole quads (CPU adapters). GPUs have layer_norm_team.wgsl.ts.
 */
import { enable, linearWorkgroup, paramsStruct, tensor, u32s, wgsl, type Format, type Kernel } from "./wgsl.js";

export const WORKGROUP_SIZE = 64;

export type RowVariant = "plain" | "rows";

export interface LayerNormVariant {
  format: Format;
  by: RowVariant;
}

const entry = (body: string): string => /* wgsl */ `
@compute @workgroup_size(${WORKGROUP_SIZE})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) local: u32) {
${body}
}`;

const plain = wgsl`
fn element(e: u32) -> f32 {
  let start = min(e / params.width, params.rows - 1u) * params.width;
  var sum = 0.0;
  let origin = load_x(start);
  for (var i = 0u; i < params.width; i++) { sum += load_x(start + i) - origin; }
  let mean = origin + sum / f32(params.width);
  var square = 0.0;
  for (var i = 0u; i < params.width; i++) { let d = load_x(start + i) - mean; square += d * d; }
  let c = e % params.width;
  return (load_x(start + c) - mean) * inverseSqrt(square / f32(params.width) + params.eps) * load_weight(c) + load_bias(c);
}
${entry(`
  let i = ${linearWorkgroup} * ${WORKGROUP_SIZE}u + local;
  if (4u * i >= params.rows * params.width) { return; }
  // A loop, so that element() is inlined once.
  var quad = vec4f();
  for (var lane = 0u; lane < 4u; lane++) { quad[lane] = element(4u * i + lane); }
  store4_y(i, quad);`)}`;

const byRow = entry(`
  let row = ${linearWorkgroup} * ${WORKGROUP_SIZE}u + local;
  if (row >= params.rows) { return; }
  let quads = params.width >> 2u;
  let start = row * quads;
  let origin = load4_x(start).x;
  var total = vec4f();
  for (var i = 0u; i < quads; i++) { total += load4_x(start + i) - origin; }
  let mean = origin + dot(total, vec4f(1.0)) / f32(params.width);
  var squares = vec4f();
  for (var i = 0u; i < quads; i++) { let d = load4_x(start + i) - mean; squares += d * d; }
  let scale = inverseSqrt(dot(squares, vec4f(1.0)) / f32(params.width) + params.eps);
  for (var i = 0u; i < quads; i++) {
    store4_y(start + i, (load4_x(start + i) - mean) * scale * load4_weight(i) + load4_bias(i));
  }`);

export const layerNorm: Kernel<LayerNormVariant> = {
  name: "layer_norm",
  params: { ...u32s("rows", "width"), eps: "f32" },
  bindings: () => ["read", "read", "read", "write"],
  source({ format, by }) {
    return wgsl`${enable(format)}${paramsStruct(this.params)}
${tensor(1, "x", "read", format)}${tensor(2, "weight", "read", format)}${tensor(3, "bias", "read", format)}${tensor(4, "y", "write", format)}
${by === "plain" ? plain : byRow}`;
  },
};
