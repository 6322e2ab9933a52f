/** n[b] = √Σ x[b, …]²: the Euclidean norm of each sample of a batch. One workgroup per sample. */
import { paramsStruct, range, wgsl, type Kernel } from "./wgsl.js";

const WORKGROUP_SIZE = 256;

export const sampleNorms: Kernel = {
  name: "sample_norms",
  params: { width: "u32" },
  bindings: () => ["read", "write"],
  source() {
    const fold = range(8)
      .map((k) => 128 >> k)
      .map((half) => `  if (local < ${half}u) { sums[local] += sums[local + ${half}u]; }\n  workgroupBarrier();`);
    return wgsl`${paramsStruct(this.params)}
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> n: array<f32>;
var<workgroup> sums: array<f32, ${WORKGROUP_SIZE}>;

@compute @workgroup_size(${WORKGROUP_SIZE})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) local: u32) {
  let start = workgroup.x * params.width;
  // Scaled by the largest value, because a square overflows long before a norm does.
  var largest = 0.0;
  for (var i = local; i < params.width; i += ${WORKGROUP_SIZE}u) { largest = max(largest, abs(x[start + i])); }
  sums[local] = largest;
  workgroupBarrier();
${fold.map((line) => line.replace(/sums\[local\] \+= (.*?); \}/, "sums[local] = max(sums[local], $1); }")).join("\n")}
  let scale = max(sums[0], 1e-30);
  workgroupBarrier();
  var sum = 0.0;
  for (var i = local; i < params.width; i += ${WORKGROUP_SIZE}u) { let v = x[start + i] / scale; sum += v * v; }
  sums[local] = sum;
  workgroupBarrier();
${fold.join("\n")}
  if (local == 0u) { n[workgroup.x] = scale * sqrt(sums[0]); }
}`;
  },
};
