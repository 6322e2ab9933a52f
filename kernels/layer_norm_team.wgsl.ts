/**
 * Layer normalisation (formula: layer_norm.wgsl.ts) on GPUs: a team of threads has a row and keeps it in registers, so that it is
 * read once; its mean and then the sum of (x - mean)² are added up by shuffles within subgroups, where their size is known, and
 * workgroup memory between them.
 */
import { enable, linearWorkgroup, paramsStruct, range, tensor, u32s, wgsl, type Format, type Kernel } from "./wgsl.js";

export interface TeamVariant {
  format: Format;
  /** Threads of a row; a power of two. */
  team: number;
  /** Of a workgroup; whole teams. */
  threads: number;
  /** Quads of a row that a thread has at most. */
  kept: number;
  /** Threads that shuffle: a power of two, all of one subgroup; 1 for none. */
  shuffled: number;
}

/** Adds up `value` of a team's threads; `scratch` is workgroup memory of its own. */
function addUp({ team, shuffled }: TeamVariant, value: string, scratch: string): string {
  const near = Math.min(team, shuffled);
  const shuffles = range(Math.log2(near)).map((bit) => `${value} += subgroupShuffleXor(${value}, ${1 << bit}u);`);
  if (near === team) return shuffles.join("\n  ");
  return `${shuffles.join("\n  ")}
  ${scratch}[local] = ${value};
  workgroupBarrier();
  ${value} = 0.0;
  for (var i = local - lane; i < local - lane + ${team}u; i += ${near}u) { ${value} += ${scratch}[i]; }`;
}

export const layerNormTeam: Kernel<TeamVariant> = {
  name: "layer_norm team",
  params: { ...u32s("rows", "width"), eps: "f32" },
  bindings: () => ["read", "read", "read", "write"],
  source(variant) {
    const { format, team, threads, kept, shuffled } = variant;
    /** `f` for each quad that a thread keeps. */
    const each = (f: (x: string, k: number) => string): string =>
      range(kept)
        .map((k) => f(`x${k}`, k))
        .join("\n  ");
    return wgsl`${enable(format, shuffled > 1)}${paramsStruct(this.params)}
${tensor(1, "x", "read", format)}${tensor(2, "weight", "read", format)}${tensor(3, "bias", "read", format)}${tensor(4, "y", "write", format)}
var<workgroup> sums: array<f32, ${threads}>;
var<workgroup> squares: array<f32, ${threads}>;
@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) local: u32) {
  let lane = local % ${team}u;
  let row = ${linearWorkgroup} * ${threads / team}u + local / ${team}u;
  let quads = params.width >> 2u;
  // Threads behind the last row or quad load another one, which counts nothing: all of them have to reach the sums.
  let start = min(row, params.rows - 1u) * quads;
  ${range(kept)
    .map((k) => `let i${k} = min(lane + ${k * team}u, quads - 1u); let x${k} = load4_x(start + i${k});`)
    .join("\n  ")}
  ${range(kept)
    .map((k) => `let counts${k} = select(0.0, 1.0, lane + ${k * team}u < quads);`)
    .join("\n  ")}
  let origin = load4_x(start).x;
  var total = vec4f();
  ${each((x, k) => `total += (${x} - origin) * counts${k};`)}
  var sum = dot(total, vec4f(1.0));
  ${addUp(variant, "sum", "sums")}
  let mean = origin + sum / f32(params.width);
  total = vec4f();
  ${each((x, k) => `total += (${x} - mean) * (${x} - mean) * counts${k};`)}
  var square = dot(total, vec4f(1.0));
  ${addUp(variant, "square", "squares")}
  let scale = inverseSqrt(square / f32(params.width) + params.eps);
  if (row < params.rows) {
    ${range(kept)
      .map((k) => {
        const y = `(x${k} - mean) * scale * load4_weight(i${k}) + load4_bias(i${k})`;
        return `if (lane + ${k * team}u < quads) { store4_y(start + i${k}, ${y}); }`;
      })
      .join("\n    ")}
  }
}`;
  },
};
