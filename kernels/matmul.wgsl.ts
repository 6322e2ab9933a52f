/**
 * y[M, N] = activation(x[M, K] · w[K, N] + bias[N] + residual[M, N]), sums in f32.
 *
 * `plain`: one thread per four consecutive elements of y, any sizes; the reference of the tiled variants (tile.ts), which
 * need whole tiles of columns and K % 4 == 0.
 *
 * With `gated` the columns come in pairs of quads, value and gate, and y[M, N / 2] = value * gelu(gate): the GEGLU of
 * transformer blocks (Shazeer 2020), whose intermediate result is then never in memory.
 *
 * `split`: workgroup z adds up one slice of the inner axis only (split-K), so that products of few rows have threads enough
 * for a GPU: y[z, M, N] in f32, which merge_slices.wgsl.ts adds up and finishes. Tiled only.
 */
import { activate, activationFunctions, type Activation } from "./activation.js";
import { plainEntry, tiledEntry } from "./tile.js";
import { partOf, sliceFunctions, straight, weightRows, type Product } from "./product.js";
import { enableTile, loadOf, type TileVariant } from "./tile_parts.js";
import { operandAccess, paramsStruct, tensor, u32s, wgsl, type Format, type Kernel, type Textures } from "./wgsl.js";

/** What the gates of pairs of quads go through; none: columns are no pairs. */
export type Gate = "none" | "gelu" | "gelu_tanh";

export interface MatmulVariant extends TileVariant {
  format: Format;
  fma: boolean;
  activation: Activation;
  gated: Gate;
  bias: boolean;
  residual: boolean;
  /** y are the sums of slices of the inner axis: no bias, residual, activation or gates. */
  split: boolean;
  /** Operands that are read through textures. */
  textures: Textures;
}

const params = u32s("m", "n", "k", "slices", "row_start", "row_end");

/** The parts that every variant declares. Optional terms are variants, not branches: they are half of the code of a large tile. */
const header = ({ format, by, step, textures, bias, residual, split }: MatmulVariant): string =>
  enableTile(format, { by }) +
  paramsStruct(params) +
  (split ? sliceFunctions(step) : "") +
  tensor(1, "x", operandAccess(textures)[0], format) +
  tensor(2, "w", operandAccess(textures)[1], format) +
  tensor(3, "y", "write", split ? "f32" : format) +
  (bias ? tensor(4, "bias", "read", format) : "") +
  (residual ? tensor(bias ? 5 : 4, "residual", "read", format) : "") +
  activationFunctions;

const plain = (variant: MatmulVariant): string => wgsl`${header(variant)}
fn product(row: u32, column: u32) -> f32 {
  var sum = 0.0;
  for (var k = 0u; k < params.k; k++) { sum += load_x(row * params.k + k) * load_w(k * params.n + column); }
  #if ${variant.bias}
  sum += load_bias(column);
  #endif
  return sum;
}
fn element(e: u32) -> f32 {
  #if ${variant.gated !== "none"}
  let half = params.n / 2u;
  let row = min(e / half, params.m - 1u);
  let column = 2u * ((e % half) & ~3u) + (e & 3u);
  return product(row, column) * ${variant.gated}(vec4f(product(row, column + 4u))).x;
  #else
  let row = min(e / params.n, params.m - 1u);
  var sum = product(row, e % params.n);
  #if ${variant.residual}
  sum += load_residual(row * params.n + e % params.n);
  #endif
  return sum;
  #endif
}
${plainEntry(variant.gated !== "none" ? "(params.n / 2u)" : "params.n", (x) => activate(variant.activation, x))}`;

const productOf = (variant: MatmulVariant, { by, activation, gated, bias, residual, split } = variant): Product => ({
  rows: "params.m",
  setup: (name, row) => `  let x${name} = ${row} * (params.k >> 2u);`,
  ...straight({
    before: `  let part = ${partOf("params.k >> 2u", split)};`,
    from: "part.x",
    to: "part.y",
    each: `let base = ${weightRows(variant).base("k * 4u", "params.k")};`,
  }),
  load: (name, k) => `${loadOf({ by })}_x(x${name} + ${k})`,
  loadColumns: weightRows(variant).load(`${loadOf({ by })}_w`),
  at: (row, column) => `${split ? `(slot * params.m + ${row})` : row} * n4 + ${column}`,
  epilogue: ({ rows, columns, sum, at, ofColumns }) =>
    [
      ...(bias ? [ofColumns("bias", (column) => `load4_bias(${column})`)] : []),
      ...rows.flatMap((i) => columns.map((j) => (bias ? `  ${sum(i, j)} += bias${j};` : ""))),
      ...rows.flatMap((i) => columns.map((j) => (residual ? `  ${sum(i, j)} += load4_residual(${at(i, j)});` : ""))),
    ].join("\n"),
  store: (at, sum) => `store4_y(${at}, ${activate(activation, sum)});`,
  storePair: gated === "none" ? null : (at, value, gate) => `store4_y((${at}) >> 1u, ${value} * ${gated}(${gate}));`,
});

export const matmul: Kernel<MatmulVariant> = {
  name: "matmul",
  params,
  bindings: ({ textures, bias, residual }) => [
    ...operandAccess(textures),
    "write",
    ...[bias, residual].flatMap((present) => (present ? (["read"] as const) : [])),
  ],
  source: (variant) =>
    variant.by === "plain"
      ? plain(variant)
      : header(variant) + tiledEntry(variant, "(params.n >> 2u)", productOf(variant)),
};
