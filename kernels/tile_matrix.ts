/**
 * The `matrix` tile of products, for GPUs with matrix units (WebGPU's coming subgroup matrices, in Dawn the feature
 * chromium-experimental-subgroup-matrix): halves times halves, sums in f32. A workgroup has `across` x `down` subgroups of `lanes`
 * threads; each holds tileM x 4·tileN4 sums, and all share the operands in workgroup memory, `step` quads of the inner axis at a
 * time. A product's loads give halves (`half4_…`).
 *
 * Which lane holds which sum is the driver's secret: sums pass through workgroup memory to be finished and stored.
 */
import type { Product } from "./product.js";
import { finish, lines, type MatrixShape, type TileVariant } from "./tile_parts.js";
import { declareShared, pitches, sharedBytes, sharedTurns, type Sharing } from "./tile_shared.js";
import { range } from "./wgsl.js";

type Sizes = Pick<TileVariant, "tileM" | "tileN4" | "across" | "down" | "step" | "lanes">;

const sharingOf = ({ tileM, tileN4, across, down, step, lanes }: Sizes): Sharing => ({
  threads: across * down * lanes,
  height: tileM * down,
  width: tileN4 * across,
  step,
  padding: { left: 2, right: 2 },
  type: "vec4<f16>",
  buffers: 1,
});

/** Quads through which the sums of a row of matrices pass. */
const sumQuads = ({ tileN4, across, down }: Sizes, { m }: MatrixShape): number => across * down * m * tileN4;

/** Threads of a workgroup, and bytes of its memory. */
export const matrixSizes = (tile: Sizes, matrix: MatrixShape): { threads: number; bytes: number } => {
  const sharing = sharingOf(tile);
  return { threads: sharing.threads, bytes: sharedBytes(sharing) + 16 * sumQuads(tile, matrix) };
};

export function matrixEntry(tile: TileVariant, n4: string, product: Product): string {
  const { tileM, tileN4, across, step, lanes, matrix } = tile;
  const { m, n, k } = matrix as MatrixShape;
  const sharing = sharingOf(tile);
  const { threads, height, width } = sharing;
  const pitch = pitches(sharing);
  const rows = range(tileM / m);
  const columns = range((4 * tileN4) / n);
  const addUp = lines(
    range((4 * step) / k).map(
      (part) => `{
${lines(
  columns.map(
    (j) =>
      `  let w${j} = subgroupMatrixLoad<subgroup_matrix_right<f16, ${n}, ${k}>, row_major>(&shared_w, ${part * k * pitch.right + (j * n) / 4}u + x * ${tileN4}u, ${pitch.right}u);`,
  ),
)}
${lines(
  rows.map(
    (
      i,
    ) => `  { let a = subgroupMatrixLoad<subgroup_matrix_left<f16, ${k}, ${m}>, row_major>(&shared_a, ${i * m * pitch.left + (part * k) / 4}u + y * ${tileM * pitch.left}u, ${pitch.left}u);
${lines(columns.map((j) => `  sum${i}_${j} = subgroupMatrixMultiplyAccumulate(a, w${j}, sum${i}_${j});`))} }`,
  ),
)}
}`,
    ),
  );
  // A pair of quads makes one of the result, and lies in one thread.
  const quads = product.storePair ? [0, 1] : [0];
  const perRow = tileN4 / quads.length;
  const finished = (i: number): string => `
${lines(
  columns.map(
    (j) =>
      `  subgroupMatrixStore<row_major>(&shared_sum, subgroup * ${m * tileN4}u + ${(j * n) / 4}u, sum${i}_${j}, ${tileN4}u);`,
  ),
)}
  workgroupBarrier();
  for (var e = lane; e < ${m * perRow}u; e += ${lanes}u) {
    let row_here = row + y * ${tileM}u + ${i * m}u + e / ${perRow}u;
    let column_here = first + x * ${tileN4}u + e % ${perRow}u * ${quads.length}u;
${lines(quads.map((j) => `    var sum0_${j} = shared_sum[subgroup * ${m * tileN4}u + ${quads.length}u * e + ${j}u];`))}
${finish(
  [0],
  quads,
  product,
  { row: () => "min(row_here, params.row_end - 1u)", column: (j) => `min(column_here + ${j}u, columns - 1u)` },
  (_, j) => `row_here < params.row_end && column_here + ${j}u < columns`,
)}
  }
  workgroupBarrier();`;
  return `${declareShared(sharing)}var<workgroup> shared_sum: array<vec4f, ${sumQuads(tile, matrix as MatrixShape)}>;
@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) local: u32) {
  let n4 = ${n4};
  let columns = ${product.columns ?? "n4"};
  let slot = workgroup.z;
  let lane = local % ${lanes}u;
  let subgroup = local / ${lanes}u;
  let x = subgroup % ${across}u;
  let y = subgroup / ${across}u;
  let row = params.row_start + workgroup.y * ${height}u;
  let first = workgroup.x * ${width}u;
${lines(rows.flatMap((i) => columns.map((j) => `  var sum${i}_${j}: subgroup_matrix_result<f32, ${n}, ${m}>;`)))}
${sharedTurns(product, sharing, () => addUp)}
${lines(rows.map(finished))}
}`;
}
