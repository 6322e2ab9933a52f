/**
 * Dynamic thresholding (Saharia et al. 2022, "Imagen", section 2.3): per sample, s is a quantile of |x|, and
 * y = clamp(x, -s, s) / s. One workgroup per sample; no readback.
 */
import { paramsStruct, wgsl, type Kernel } from "./wgsl.js";

const WORKGROUP_SIZE = 256;

/**
 * The k-th smallest |x| is built bit by bit from the top, since positive floats are ordered as their bits are:
 * a bit is set while at most k values lie below. That is exact and needs no sorting and no memory.
 * `rank` is k, `weight` the part of the way to the next larger value, `low` and `high` the bounds of s.
 */
export const dynamicThreshold: Kernel = {
  name: "dynamic_threshold",
  params: { width: "u32", rank: "u32", weight: "f32", low: "f32", high: "f32" },
  bindings: () => ["read", "write"],
  source() {
    return wgsl`${paramsStruct(this.params)}
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
var<workgroup> below: atomic<u32>;
var<workgroup> above: atomic<u32>;

fn bits(i: u32) -> u32 { return bitcast<u32>(x[i]) & 0x7fffffffu; }

@compute @workgroup_size(${WORKGROUP_SIZE})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) local: u32) {
  let start = workgroup.x * params.width;
  let end = start + params.width;
  var value = 0u;
  for (var bit = 31u; bit > 0u; bit--) {
    let candidate = value | (1u << (bit - 1u));
    var count = 0u;
    for (var i = start + local; i < end; i += ${WORKGROUP_SIZE}u) { count += select(0u, 1u, bits(i) < candidate); }
    if (local == 0u) { atomicStore(&below, 0u); }
    workgroupBarrier();
    atomicAdd(&below, count);
    workgroupBarrier();
    if (atomicLoad(&below) <= params.rank) { value = candidate; }
    workgroupBarrier();
  }
  // The next value is the same one if it occurs again, else the smallest above it.
  if (local == 0u) { atomicStore(&below, 0u); atomicStore(&above, 0x7f800000u); }
  workgroupBarrier();
  var count = 0u;
  var next = 0x7f800000u;
  for (var i = start + local; i < end; i += ${WORKGROUP_SIZE}u) {
    let b = bits(i);
    if (b <= value) { count++; } else { next = min(next, b); }
  }
  atomicAdd(&below, count);
  atomicMin(&above, next);
  workgroupBarrier();
  let lower = bitcast<f32>(value);
  let repeated = atomicLoad(&below) > params.rank + 1u || params.rank + 1u >= params.width;
  let upper = bitcast<f32>(select(atomicLoad(&above), value, repeated));
  let s = clamp(lower + params.weight * (upper - lower), params.low, params.high);
  for (var i = start + local; i < end; i += ${WORKGROUP_SIZE}u) { y[i] = clamp(x[i], -s, s) / s; }
}`;
  },
};
