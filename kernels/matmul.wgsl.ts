/**
 * y[M, N] = activation(x[M, K] · w[K, N] + bias[N] + residual[M, N]), sums in f32.
 *
 * `plain`: one thread per four consecutive elements of y, any sizes; the reference of the tiled variants.
 * `tiled`: one thread per tileM x 4·tileN4 elements in registers, no workgroup memory (it costs more than it saves on
 * CPU adapters and on Apple GPUs); needs N % (4·tileN4) == 0 and K % 4 == 0. Speed follows FMAs per load.
 */
import { activationFunctions } from "./activation.js";
import { enable, multiplyAdd, paramsStruct, range, tensor, u32s, wgsl, type Format, type Kernel } from "./wgsl.js";

export interface MatmulVariant {
  format: Format;
  /** Rows per thread; 0 is the plain kernel. */
  tileM: number;
  /** vec4 columns per thread. */
  tileN4: number;
  fma: boolean;
}

/** Workgroups are 8 threads across N and 8 across M. */
export const WORKGROUP = 8;

const params = u32s("m", "n", "k", "row_start", "row_end", "activation", "has_bias", "has_residual");

/** The parts that every variant declares; w and the optional tensors are always bound (any buffer where absent). */
const header = (format: Format): string => `${enable(format)}${paramsStruct(params)}${tensor(1, "x", "read", format)}${tensor(2, "w", "read", format)}${tensor(
  3,
  "bias",
  "read",
  format,
)}${tensor(4, "residual", "read", format)}${tensor(5, "y", "write", format)}${activationFunctions}`;

const plain = ({ format }: MatmulVariant): string => wgsl`${header(format)}
fn element(e: u32) -> f32 {
  let row = min(e / params.n, params.m - 1u);
  let column = e % params.n;
  var sum = 0.0;
  for (var k = 0u; k < params.k; k++) { sum += load_x(row * params.k + k) * load_w(k * params.n + column); }
  if (params.has_bias != 0u) { sum += load_bias(column); }
  if (params.has_residual != 0u) { sum += load_residual(row * params.n + column); }
  return sum;
}
@compute @workgroup_size(${WORKGROUP}, ${WORKGROUP})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) local: u32) {
  let e = params.row_start * params.n + 4u * ((workgroup.y * 64u + workgroup.x) * ${WORKGROUP * WORKGROUP}u + local);
  if (e >= params.row_end * params.n) { return; }
  store4_y(e >> 2u, activate(vec4f(element(e), element(e + 1u), element(e + 2u), element(e + 3u)), params.activation));
}`;

const tiled = ({ format, tileM, tileN4, fma }: MatmulVariant): string => {
  const mad = multiplyAdd(fma);
  const rows = range(tileM);
  const columns = range(tileN4);
  const each = (f: (i: number, j: number) => string): string => rows.map((i) => columns.map((j) => f(i, j)).join("\n")).join("\n");
  return wgsl`${header(format)}
@compute @workgroup_size(${WORKGROUP}, ${WORKGROUP})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_id) local: vec3u) {
  let n4 = params.n >> 2u;
  let k4 = params.k >> 2u;
  let row = params.row_start + (workgroup.y * ${WORKGROUP}u + local.y) * ${tileM}u;
  let column = (workgroup.x * ${WORKGROUP}u + local.x) * ${tileN4}u;
  if (row >= params.row_end || column >= n4) { return; }
${rows.map((i) => `  let x${i} = min(row + ${i}u, params.m - 1u) * k4;`).join("\n")}
${each((i, j) => `  var sum${i}_${j} = vec4f();`)}
  for (var k = 0u; k < k4; k++) {
    let base = k * 4u * n4 + column;
${range(4)
  .map((r) => columns.map((j) => `    let w${r}_${j} = load4_w(base + ${r}u * n4 + ${j}u);`).join("\n"))
  .join("\n")}
${rows
  .map(
    (i) => `    { let a = load4_x(x${i} + k);
${range(4)
  .map((r) => columns.map((j) => `      sum${i}_${j} = ${mad(`vec4f(a[${r}])`, `w${r}_${j}`, `sum${i}_${j}`)};`).join("\n"))
  .join("\n")} }`,
  )
  .join("\n")}
  }
${rows.map((i) => `  let at${i} = min(row + ${i}u, params.m - 1u) * n4 + column;`).join("\n")}
  // One branch each, not one per store: compile time on CPU adapters grows with the branches.
  if (params.has_bias != 0u) {
${columns.map((j) => `    let bias${j} = load4_bias(column + ${j}u);`).join("\n")}
${each((i, j) => `    sum${i}_${j} += bias${j};`)}
  }
  if (params.has_residual != 0u) {
${each((i, j) => `    sum${i}_${j} += load4_residual(at${i} + ${j}u);`)}
  }
  if (params.activation != 0u) {
${each((i, j) => `    sum${i}_${j} = activate(sum${i}_${j}, params.activation);`)}
  }
${rows
  .map((i) => `  if (row + ${i}u < params.row_end) {\n${columns.map((j) => `    store4_y(at${i} + ${j}u, sum${i}_${j});`).join("\n")}\n  }`)
  .join("\n")}
}`;
};

export const matmul: Kernel<MatmulVariant> = {
  name: "matmul",
  params,
  bindings: () => ["read", "read", "read", "read", "write"],
  source: (variant) => (variant.tileM === 0 ? plain(variant) : tiled(variant)),
};
