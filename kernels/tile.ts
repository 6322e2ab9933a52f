/**
 * How matmul and conv2d share out the rows and columns of a product among threads, and the text of the shared part: which
 * quads a thread loads, and where it adds them up. A kernel gives the rest as a `Product`: where the rows lie.
 *
 * `registers`: a thread holds tileM x 4·tileN4 sums; no workgroup memory, which costs more than it saves on SwiftShader
 * and on Apple GPUs. Speed follows multiply-adds per load.
 * `broadcast`: a subgroup holds tileM·lanes x 4·tileN4 sums, each lane those of its own rows. The lanes load the tile's quads of w
 * together, and all take each by subgroupBroadcast: llvmpipe pays for loads lane by lane (7 ns for 8 numbers, 0.3 ns for 8
 * multiply-adds).
 * `swap`: a subgroup of four lanes holds tileM·4 x 4·tileN4·4 sums, each lane those of its own columns. Each lane loads a quad of its
 * own row, and they trade these by quad swaps, one instruction on SwiftShader where a broadcast is five: sums of a lane belong
 * to the rows of lanes lane ^ 0 to lane ^ 3.
 * `workgroup`: threads share what they load in workgroup memory, for GPUs (tile_workgroup.ts).
 * `matrix`: subgroups multiply matrices of halves, for GPUs with units for that (tile_matrix.ts).
 */
import { broadcastEntry, swapEntry } from "./tile_lanes.js";
import { matrixEntry } from "./tile_matrix.js";
import type { Product } from "./product.js";
import { declareRows, finish, lines, sums, type TileVariant } from "./tile_parts.js";
import { workgroupEntry } from "./tile_workgroup.js";
import { linearWorkgroup, multiplyAdd, range } from "./wgsl.js";

/** Side of a square workgroup. */
export const WORKGROUP = 8;
/** Threads of a flat workgroup. */
export const FLAT_WORKGROUP = 32;

/** The entry point of a tiled kernel. `n4` is an expression: quads of a row of the result. */
export function tiledEntry(variant: TileVariant & { fma: boolean }, n4: string, product: Product): string {
  if (variant.by === "broadcast") return broadcastEntry(variant, n4, product);
  if (variant.by === "swap") return swapEntry(variant, n4, product);
  if (variant.by === "workgroup") return workgroupEntry(variant, n4, product);
  if (variant.by === "matrix") return matrixEntry(variant, n4, product);
  return registersEntry(variant, n4, product);
}

function registersEntry(
  { tileM, tileN4, flat, fma }: TileVariant & { fma: boolean },
  n4: string,
  product: Product,
): string {
  const mad = multiplyAdd(fma);
  const place = flat
    ? `let tile = ${linearWorkgroup} * ${FLAT_WORKGROUP}u + local.x;
  let across = (columns + ${tileN4 - 1}u) / ${tileN4}u;
  let row = params.row_start + (tile / across) * ${tileM}u;
  let first = (tile % across) * ${tileN4}u;
  if (row >= params.row_end) { return; }`
    : `let row = params.row_start + (workgroup.y * ${WORKGROUP}u + local.y) * ${tileM}u;
  let first = (workgroup.x * ${WORKGROUP}u + local.x) * ${tileN4}u;
  if (row >= params.row_end || first >= columns) { return; }`;
  const rows = range(tileM);
  const columns = range(tileN4);
  const inner = (from: Product): string =>
    `${declareRows(from, columns, (r, j) => from.loadColumns(`${r}u`, `column + ${j}u`))}${lines(
      rows.map(
        (i) => `{ let a = ${from.load(String(i), "k")};
${lines(range(4).flatMap((r) => columns.map((j) => `sum${i}_${j} = ${mad(`vec4f(a[${r}])`, `w${r}_${j}`, `sum${i}_${j}`)};`)))} }`,
      ),
    )}`;
  return `@compute @workgroup_size(${flat ? FLAT_WORKGROUP : `${WORKGROUP}, ${WORKGROUP}`})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_id) local: vec3u) {
  let n4 = ${n4};
  let columns = ${product.columns ?? "n4"};
  let slot = workgroup.z;
  ${place}
  // What would lie past the last column computes it again, and stores the same.
  let column = min(first, columns - ${tileN4}u);
${lines(rows.map((i) => product.setup(String(i), `min(row + ${i}u, ${product.rows} - 1u)`)))}
${sums(rows, columns)}
${product.loops(rows.map(String), 1, (others) => inner({ ...product, ...others }))}
${finish(rows, columns, product, {
  row: (i) => `min(row + ${i}u, params.row_end - 1u)`,
  column: (j) => `column + ${j}u`,
})}
}`;
}

/** The entry point of a plain kernel: one quad of the result per thread, computed by `element(index)`. */
export const plainEntry = (columns: string, activated: (x: string) => string): string => `
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_index) local: u32) {
  let e = params.row_start * ${columns} + 4u * (${linearWorkgroup} * 64u + local);
  if (e >= params.row_end * ${columns}) { return; }
  // A loop, so that element() is inlined once: lavapipe compiles four copies of a convolution for half a minute.
  var quad = vec4f();
  for (var lane = 0u; lane < 4u; lane++) { quad[lane] = element(e + lane); }
  store4_y(e >> 2u, ${activated("quad")});
}`;
