/**
 * The `matrix` tile of products, for GPUs with matrix units (WebGPU's coming subgroup matrices, in Dawn the feature
 * chromium-experimental-subgroup-matrix): halves times halves, sums in f32. A workgroup has `across` x `down` subgroups of `lanes`
 * threads; each holds tileM x 4·tileN4 sums, and all share the operands in workgroup memory, `step` quads of the inner axis at a
 * time. A product's loads give halves (`half4_…`).
 *
 * Which lane holds which sum is the driver's secret: sums pass through workgroup memory to be finished and stored.
 */
import { loadColumns, type Product } from "./product.js";
import { finish, lines, pipelined, type MatrixShape, type TileVariant } from "./tile_parts.js";
import { range } from "./wgsl.js";

/** Quads of halves behind each row in workgroup memory: without them, rows begin in the same banks. */
const PADDING = 2;

export function matrixEntry(
  { tileM, tileN4, across, down, step, lanes, matrix }: TileVariant,
  n4: string,
  product: Product,
): string {
  const { m, n, k } = matrix as MatrixShape;
  const subgroups = across * down;
  const threads = subgroups * lanes;
  const [height, width] = [tileM * down, tileN4 * across];
  const [leftStride, rightStride] = [step + PADDING, width + PADDING];
  const left = range((height * step) / threads);
  const right = range((4 * step * width) / threads);
  const rows = range(tileM / m);
  const columns = range((4 * tileN4) / n);
  const addUp = lines(
    range((4 * step) / k).map(
      (part) => `{
${lines(
  columns.map(
    (j) =>
      `  let w${j} = subgroupMatrixLoad<subgroup_matrix_right<f16, ${n}, ${k}>, row_major>(&shared_w, ${part * k * rightStride + (j * n) / 4}u + x * ${tileN4}u, ${rightStride}u);`,
  ),
)}
${lines(
  rows.map(
    (
      i,
    ) => `  { let a = subgroupMatrixLoad<subgroup_matrix_left<f16, ${k}, ${m}>, row_major>(&shared_a, ${i * m * leftStride + (part * k) / 4}u + y * ${tileM * leftStride}u, ${leftStride}u);
${lines(columns.map((j) => `  sum${i}_${j} = subgroupMatrixMultiplyAccumulate(a, w${j}, sum${i}_${j});`))} }`,
  ),
)}
}`,
    ),
  );
  const declare = [...left.map((i) => `left${i}`), ...right.map((i) => `right${i}`)]
    .map((name) => `var ${name} = vec4<f16>();`)
    .join(" ");
  const load = (from: Product): string =>
    lines([
      ...left.map((i) => `left${i} = ${from.load(String(i), `k + local % ${step}u`)};`),
      ...right.map((i) => {
        const at = `(local + ${threads * i}u)`;
        return `right${i} = ${loadColumns(from, `(${at} / ${width}u)`, `min(first + ${at} % ${width}u, columns - 1u)`)};`;
      }),
    ]);
  const share = lines([
    ...left.map(
      (i) => `shared_a[(local / ${step}u + ${(threads / step) * i}u) * ${leftStride}u + local % ${step}u] = left${i};`,
    ),
    ...right.map((i) => {
      const at = `(local + ${threads * i}u)`;
      return `shared_w[${at} / ${width}u * ${rightStride}u + ${at} % ${width}u] = right${i};`;
    }),
  ]);
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
  return `var<workgroup> shared_a: array<vec4<f16>, ${height * leftStride}>;
var<workgroup> shared_w: array<vec4<f16>, ${4 * step * rightStride}>;
var<workgroup> shared_sum: array<vec4f, ${subgroups * m * tileN4}>;
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
${lines(
  left.map((i) =>
    product.setup(String(i), `min(row + local / ${step}u + ${(threads / step) * i}u, ${product.rows} - 1u)`),
  ),
)}
${lines(rows.flatMap((i) => columns.map((j) => `  var sum${i}_${j}: subgroup_matrix_result<f32, ${n}, ${m}>;`)))}
${pipelined(product, left.map(String), step, { declare, load, share, addUp })}
${lines(rows.map(finished))}
}`;
}
