/**
 * The `workgroup` tile of products, for GPUs: `across` x `down` threads hold tileM·down x 4·tileN4·across sums, and share what
 * they load in workgroup memory, `step` quads of the inner axis at a time.
 */
import type { Product } from "./product.js";
import { declareRows, finish, lines, sums, type TileVariant } from "./tile_parts.js";
import { declareShared, pitches, sharedTurns, type Sharing } from "./tile_shared.js";
import { multiplyAdd, range } from "./wgsl.js";

export function workgroupEntry(
  { tileM, tileN4, across, down, step, fma }: TileVariant & { fma: boolean },
  n4: string,
  product: Product,
): string {
  const mad = multiplyAdd(fma);
  const threads = across * down;
  const [height, width] = [tileM * down, tileN4 * across];
  const sharing: Sharing = { threads, height, width, step, padding: { left: 1, right: 0 }, type: "vec4f" };
  const pitch = pitches(sharing);
  const rows = range(tileM);
  const columns = range(tileN4);
  // Threads side by side read quads side by side; pairs have to be neighbours in a thread.
  const columnOf = (j: number): string => (product.storePair ? `x * ${tileN4}u + ${j}u` : `x + ${across * j}u`);
  const quad = (r: number, j: number): string => `shared_w[(4u * q + ${r}u) * ${pitch.right}u + ${columnOf(j)}]`;
  const addUp = `for (var q = 0u; q < ${step}u; q++) {
${declareRows(product, columns, quad)}${lines(
    rows.map(
      (i) => `  { let a = shared_a[(y + ${down * i}u) * ${pitch.left}u + q];
${lines(range(4).flatMap((r) => columns.map((j) => `  sum${i}_${j} = ${mad(`vec4f(a[${r}])`, `w${r}_${j}`, `sum${i}_${j}`)};`)))} }`,
    ),
  )}
}`;
  return `${declareShared(sharing)}@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) local: u32) {
  let n4 = ${n4};
  let columns = ${product.columns ?? "n4"};
  let slot = workgroup.z;
  let x = local % ${across}u;
  let y = local / ${across}u;
  let row = params.row_start + workgroup.y * ${height}u;
  let first = workgroup.x * ${width}u;
${sums(rows, columns)}
${sharedTurns(product, sharing, addUp)}
${finish(
  rows,
  columns,
  product,
  {
    row: (i) => `min(row + y + ${down * i}u, params.row_end - 1u)`,
    column: (j) => `min(first + ${columnOf(j)}, columns - 1u)`,
  },
  (i, j) => `row + y + ${down * i}u < params.row_end && first + ${columnOf(j)} < columns`,
)}
}`;
}
