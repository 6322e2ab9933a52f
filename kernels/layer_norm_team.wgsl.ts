/**
 * Layer normalisation (formula: layer_norm.wgsl.ts) on GPUs: a team of threads has a row and keeps it in registers, so that it is
 * read once; its mean and then the sum of (x - mean)² are added up by shuffles within subgroups, where their size is known, and
 * workgroup memory between them.
 */
import { spans, spanType, type SpanVariant } from "./spans.js";
import { enable, linearWorkgroup, paramsStruct, range, u32s, wgsl, type Kernel } from "./wgsl.js";

export interface TeamVariant extends SpanVariant {
  /** Threads of a row; a power of two. */
  team: number;
  /** Of a workgroup; whole teams. */
  threads: number;
  /** Spans of a row that a thread has at most. */
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
    const { quads, team, threads, kept, shuffled } = variant;
    /** `f` for each quad that a thread keeps. */
    const each = (f: (x: string, k: number) => string): string =>
      range(kept)
        .flatMap((k) => range(quads).map((q) => f(`x${k}[${q}]`, k)))
        .join("\n  ");
    return wgsl`${enable("f32", shuffled > 1)}${paramsStruct(this.params)}${spanType(variant)}
${spans(1, "x", "read", variant)}${spans(2, "weight", "read", variant)}${spans(3, "bias", "read", variant)}${spans(4, "y", "write", variant)}
var<workgroup> sums: array<f32, ${threads}>;
var<workgroup> squares: array<f32, ${threads}>;
@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) local: u32) {
  let lane = local % ${team}u;
  let row = ${linearWorkgroup} * ${threads / team}u + local / ${team}u;
  let spans = params.width / ${4 * quads}u;
  // Threads behind the last row or span load another one, which counts nothing: all of them have to reach the sums.
  let start = min(row, params.rows - 1u) * spans;
  ${range(kept)
    .map((k) => `let i${k} = min(lane + ${k * team}u, spans - 1u); let x${k} = load_x(start + i${k});`)
    .join("\n  ")}
  ${range(kept)
    .map((k) => `let counts${k} = select(0.0, 1.0, lane + ${k * team}u < spans);`)
    .join("\n  ")}
  let origin = load_x(start)[0].x;
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
        const y = range(quads).map((q) => `(x${k}[${q}] - mean) * scale * w[${q}] + b[${q}]`);
        return `if (lane + ${k * team}u < spans) { let w = load_weight(i${k}); let b = load_bias(i${k}); store_y(start + i${k}, Span(${y.join(", ")})); }`;
      })
      .join("\n    ")}
  }
}`;
  },
};
