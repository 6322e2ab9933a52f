/** Kernels that do nothing but multiply and add, or copy: what the adapter can do at best. */
import { enableTile, type MatrixShape } from "../kernels/tile_parts.js";
import { enable, linearWorkgroup, paramsStruct, range, u32s, wgsl, type Kernel } from "../kernels/wgsl.js";

export const WORKGROUP_SIZE = 64;
/** Multiply-adds of every chain in the body of the loop. */
const UNROLL = 8;

/** Independent chains of `x = x * a + b`, in registers. */
export interface FmaVariant {
  chains: number;
  lanes: 1 | 4;
  /** The builtin, or the operators, which compilers may fuse. */
  form: "fma" | "mad";
}

export const FMA_VARIANTS: readonly FmaVariant[] = [
  { chains: 8, lanes: 1, form: "fma" },
  { chains: 16, lanes: 1, form: "fma" },
  { chains: 8, lanes: 1, form: "mad" },
  { chains: 2, lanes: 4, form: "fma" },
  { chains: 4, lanes: 4, form: "fma" },
  { chains: 4, lanes: 4, form: "mad" },
];

/** Floating-point operations of one thread in one round of the loop. */
export const flopsPerRound = ({ chains, lanes }: FmaVariant): number => 2 * UNROLL * chains * lanes;

export const fma: Kernel<FmaVariant> = {
  name: "roofline_fma",
  params: u32s("rounds"),
  bindings: () => ["write"],
  source({ chains, lanes, form }) {
    const type = lanes === 4 ? "vec4f" : "f32";
    const step = (i: number): string => (form === "fma" ? `c${i} = fma(c${i}, a, b);` : `c${i} = c${i} * a + b;`);
    const all = range(chains);
    const body = range(UNROLL).map(() => `    ${all.map(step).join(" ")}`);
    const sum = all.map((i) => `c${i}`).join(" + ");
    return wgsl`${enable("f32")}${paramsStruct(this.params)}
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(${WORKGROUP_SIZE})
fn main(@builtin(global_invocation_id) id: vec3u) {
  let a = ${type}(0.999 + f32(id.x) * 1e-7);
  let b = ${type}(0.001 * f32(id.x & 7u));
${all.map((i) => `  var c${i} = ${type}(${(0.5 + i * 0.01).toFixed(2)});`).join("\n")}
  for (var i = 0u; i < params.rounds; i++) {
${body.join("\n")}
  }
  let sum = ${sum};
  y[id.x] = ${lanes === 4 ? "sum.x + sum.y + sum.z + sum.w" : "sum"};
}`;
  },
};

/** Sums of a subgroup in the body of the loop, and multiply-accumulates of each. */
export const MATRIX_SUMS = 8;

/** Independent chains of products of subgroup matrices, of halves with sums in f32, in registers. */
export interface MatrixVariant {
  matrix: MatrixShape;
  /** Of a subgroup. */
  lanes: number;
}

export const matrices: Kernel<MatrixVariant> = {
  name: "roofline_matrices",
  params: u32s("rounds"),
  bindings: () => ["write"],
  source({ matrix: { m, n, k }, lanes }) {
    const all = range(MATRIX_SUMS);
    const size = (Math.max(m, n) * k) / 4;
    return wgsl`${enableTile("f16", { by: "matrix" })}${paramsStruct(this.params)}
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
var<workgroup> operand: array<vec4<f16>, ${size}>;
var<workgroup> sums: array<f32, ${m * n}>;
@compute @workgroup_size(${lanes})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) local: u32) {
  for (var i = local; i < ${size}u; i += ${lanes}u) { operand[i] = vec4<f16>(vec4u(i + workgroup.x) % vec4u(7u, 5u, 3u, 2u)); }
  workgroupBarrier();
  let a = subgroupMatrixLoad<subgroup_matrix_left<f16, ${k}, ${m}>, row_major>(&operand, 0u, ${k / 4}u);
  let b = subgroupMatrixLoad<subgroup_matrix_right<f16, ${n}, ${k}>, row_major>(&operand, 0u, ${n / 4}u);
${all.map((i) => `  var c${i}: subgroup_matrix_result<f32, ${n}, ${m}>;`).join("\n")}
  for (var i = 0u; i < params.rounds; i++) {
${all.map((i) => `    c${i} = subgroupMatrixMultiplyAccumulate(a, b, c${i});`).join("\n")}
  }
  var total = 0.0;
${all
  .map(
    (i) => `  subgroupMatrixStore<row_major>(&sums, 0u, c${i}, ${n}u);
  workgroupBarrier();
  total += sums[local];
  workgroupBarrier();`,
  )
  .join("\n")}
  y[workgroup.x * ${lanes}u + local] = total;
}`;
  },
};

/** y = x, `perThread` vec4s or words per thread, neighbouring threads side by side. */
export interface CopyVariant {
  type: "f32" | "vec4f";
  perThread: number;
  /** Threads that are side by side: in turns one after the other through a run of their own where they are fewer than a workgroup. */
  lanes: number;
}

/** GPUs want many threads; CPU adapters, of `lanes` in a subgroup, want memory walked in order (kernels/streams.ts). */
export const copyVariants = (lanes: number): readonly CopyVariant[] => [
  { type: "f32", perThread: 4, lanes: WORKGROUP_SIZE },
  { type: "vec4f", perThread: 1, lanes: WORKGROUP_SIZE },
  { type: "vec4f", perThread: 4, lanes: WORKGROUP_SIZE },
  ...(lanes === 0 ? [] : [64, 256].map((perThread) => ({ type: "vec4f" as const, perThread, lanes }))),
];

export const streamCopy: Kernel<CopyVariant> = {
  name: "roofline_copy",
  params: u32s("items"),
  bindings: () => ["read", "write"],
  source({ type, perThread, lanes }) {
    return wgsl`${paramsStruct(this.params)}
@group(0) @binding(1) var<storage, read> x: array<${type}>;
@group(0) @binding(2) var<storage, read_write> y: array<${type}>;
@compute @workgroup_size(${WORKGROUP_SIZE})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) local: u32) {
  let thread = ${linearWorkgroup} * ${WORKGROUP_SIZE}u + local;
  var i = thread / ${lanes}u * ${lanes * perThread}u + thread % ${lanes}u;
  if (i >= params.items) { return; }
  #if ${perThread > 4}
  for (var turn = 0u; turn < ${perThread}u; turn++) { y[i] = x[i]; i += ${lanes}u; }
  #else
${range(perThread)
  .map((k) => `  y[i + ${k * lanes}u] = x[i + ${k * lanes}u];`)
  .join("\n")}
  #endif
}`;
  },
};
