/**
 * y[M, N] = activation(x[M, K] · w[K, N] + bias[N] + residual[M, N]), sums in f32.
 *
 * `plain`: one thread per four consecutive elements of y, any sizes; the reference of the tiled variants.
 * `tiled`: one thread per tileM x 4·tileN4 elements in registers, no workgroup memory (it costs more than it saves on
 * CPU adapters and on Apple GPUs); needs N % (4·tileN4) == 0 and K % 4 == 0. Speed follows FMAs per load.
 */
import { activate, activationFunctions, type Activation } from "./activation.js";
import { plainEntry, tileEntry, type TileVariant } from "./tile.js";
import { enable, multiplyAdd, paramsStruct, range, tensor, u32s, wgsl, type Format, type Kernel } from "./wgsl.js";

export interface MatmulVariant extends TileVariant {
  format: Format;
  fma: boolean;
  activation: Activation;
}

const params = u32s("m", "n", "k", "row_start", "row_end", "has_bias", "has_residual");

/** The parts that every variant declares; w and the optional tensors are always bound (any buffer where absent). */
const header = (format: Format): string =>
  `${enable(format)}${paramsStruct(params)}${tensor(1, "x", "read", format)}${tensor(2, "w", "read", format)}${tensor(
    3,
    "bias",
    "read",
    format,
  )}${tensor(4, "residual", "read", format)}${tensor(5, "y", "write", format)}${activationFunctions}`;

const plain = ({ format, activation }: MatmulVariant): string => wgsl`${header(format)}
fn element(e: u32) -> f32 {
  let row = min(e / params.n, params.m - 1u);
  let column = e % params.n;
  var sum = 0.0;
  for (var k = 0u; k < params.k; k++) { sum += load_x(row * params.k + k) * load_w(k * params.n + column); }
  if (params.has_bias != 0u) { sum += load_bias(column); }
  if (params.has_residual != 0u) { sum += load_residual(row * params.n + column); }
  return sum;
}
${plainEntry("params.n", (x) => activate(activation, x))}`;

const tiled = ({ format, tileM, tileN4, fma, activation, flat }: MatmulVariant): string => {
  const mad = multiplyAdd(fma);
  const rows = range(tileM);
  const columns = range(tileN4);
  const each = (f: (i: number, j: number) => string): string =>
    rows.map((i) => columns.map((j) => f(i, j)).join("\n")).join("\n");
  const body = wgsl`  let k4 = params.k >> 2u;
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
  .map((r) =>
    columns.map((j) => `      sum${i}_${j} = ${mad(`vec4f(a[${r}])`, `w${r}_${j}`, `sum${i}_${j}`)};`).join("\n"),
  )
  .join("\n")} }`,
  )
  .join("\n")}
  }
${rows.map((i) => `  let at${i} = min(row + ${i}u, params.m - 1u) * n4 + column;`).join("\n")}
  // Optional terms: one branch each for the whole tile.
  if (params.has_bias != 0u) {
${columns.map((j) => `    let bias${j} = load4_bias(column + ${j}u);`).join("\n")}
${each((i, j) => `    sum${i}_${j} += bias${j};`)}
  }
  if (params.has_residual != 0u) {
${each((i, j) => `    sum${i}_${j} += load4_residual(at${i} + ${j}u);`)}
  }
${rows
  .map(
    (i) =>
      `  if (row + ${i}u < params.row_end) {\n${columns.map((j) => `    store4_y(at${i} + ${j}u, ${activate(activation, `sum${i}_${j}`)});`).join("\n")}\n  }`,
  )
  .join("\n")}`;
  return wgsl`${header(format)}${tileEntry({ tileM, tileN4, flat }, "params.n >> 2u", body)}`;
};

export const matmul: Kernel<MatmulVariant> = {
  name: "matmul",
  params,
  bindings: () => ["read", "read", "read", "read", "write"],
  source: (variant) => (variant.tileM === 0 ? plain(variant) : tiled(variant)),
};
