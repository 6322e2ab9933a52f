/**
 * Softmax over rows of `width` (a multiple of 4) scores, as attention needs it: y = exp(scale·x - max) for the first
 * min(valid, first + row % period) columns, 0 in the rest (a causal mask, where `period` rows belong to one head), and behind
 * them a quad that begins with 1 / Σ y. The division is left to who sums with these weights: one pass less.
 */
import { enable, linearWorkgroup, paramsStruct, tensor, u32s, wgsl, type Format, type Kernel } from "./wgsl.js";

export const WORKGROUP_SIZE = 64;

export interface SoftmaxVariant {
  format: Format;
  /** What has a row: a thread, which suits CPU adapters and short rows, or a workgroup. */
  by: "thread" | "workgroup";
}

const byThread = /* wgsl */ `
@compute @workgroup_size(${WORKGROUP_SIZE})
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= params.rows) { return; }
  let quads = params.width >> 2u;
  let start = id.x * quads;
  let out = id.x * (quads + 1u);
  let valid = min(params.valid, params.first + id.x % params.period);
  let whole = valid >> 2u;
  // The last quad with scores: columns from valid on count as the lowest of all.
  let inside = vec4u(4u * whole) + vec4u(0u, 1u, 2u, 3u) < vec4u(valid);
  let last = select(vec4f(-1e30), load4_x(start + min(whole, quads - 1u)) * params.scale, inside);
  var most = last;
  for (var i = 0u; i < whole; i++) { most = max(most, load4_x(start + i) * params.scale); }
  let top = max(max(most.x, most.y), max(most.z, most.w));
  var total = vec4f();
  for (var i = 0u; i < whole; i++) {
    let weight = exp(load4_x(start + i) * params.scale - top);
    total += weight;
    store4_y(out + i, weight);
  }
  let weight = select(vec4f(), exp(last - top), inside);
  total += weight;
  for (var i = whole; i < quads; i++) { store4_y(out + i, select(vec4f(), weight, vec4<bool>(i == whole))); }
  store4_y(out + quads, vec4f(1.0 / dot(total, vec4f(1.0)), 0.0, 0.0, 0.0));
}`;

const byWorkgroup = /* wgsl */ `
var<workgroup> parts: array<f32, ${WORKGROUP_SIZE}>;
/** Scaled scores of a quad; columns from valid on count as the lowest of all. */
fn scores(start: u32, i: u32, valid: u32) -> vec4f {
  let inside = vec4u(4u * i) + vec4u(0u, 1u, 2u, 3u) < vec4u(valid);
  return select(vec4f(-1e30), load4_x(start + i) * params.scale, inside);
}
@compute @workgroup_size(${WORKGROUP_SIZE})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) local: u32) {
  let row = ${linearWorkgroup};
  if (row >= params.rows) { return; }
  let quads = params.width >> 2u;
  let start = row * quads;
  let out = row * (quads + 1u);
  let valid = min(params.valid, params.first + row % params.period);
  var most = vec4f(-1e30);
  for (var i = local; i < quads; i += ${WORKGROUP_SIZE}u) { most = max(most, scores(start, i, valid)); }
  parts[local] = max(max(most.x, most.y), max(most.z, most.w));
  workgroupBarrier();
  for (var half = ${WORKGROUP_SIZE / 2}u; half > 0u; half >>= 1u) {
    if (local < half) { parts[local] = max(parts[local], parts[local + half]); }
    workgroupBarrier();
  }
  let top = parts[0];
  workgroupBarrier();
  var total = vec4f();
  for (var i = local; i < quads; i += ${WORKGROUP_SIZE}u) {
    let weight = exp(scores(start, i, valid) - top);
    total += weight;
    store4_y(out + i, weight);
  }
  parts[local] = dot(total, vec4f(1.0));
  workgroupBarrier();
  for (var half = ${WORKGROUP_SIZE / 2}u; half > 0u; half >>= 1u) {
    if (local < half) { parts[local] += parts[local + half]; }
    workgroupBarrier();
  }
  if (local == 0u) { store4_y(out + quads, vec4f(1.0 / parts[0], 0.0, 0.0, 0.0)); }
}`;

export const softmax: Kernel<SoftmaxVariant> = {
  name: "softmax",
  params: { ...u32s("rows", "width", "valid", "first", "period"), scale: "f32" },
  bindings: () => ["read", "write"],
  source({ format, by }) {
    return wgsl`${enable(format)}${paramsStruct(this.params)}${tensor(1, "x", "read", format)}${tensor(2, "y", "write", format)}
${by === "thread" ? byThread : byWorkgroup}`;
  },
};
