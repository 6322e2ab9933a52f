/**
 * The `workgroup` tile of products, for GPUs: `across` x `down` threads hold tileM·down x 4·tileN4·across sums, and share what
 * they load in workgroup memory, `step` quads of the inner axis at a time.
 *
 */
import { loadColumns, type Product } from "./product.js";
import { declareRows, finish, lines, pipelined, sums, type TileVariant } from "./tile_parts.js";
import { multiplyAdd, range } from "./wgsl.js";

/** Quads behind each row of the left operand: without them, rows begin in the same banks of workgroup memory. */
const PADDING = 1;

export function workgroupEntry(
  { tileM, tileN4, across, down, step, fma }: TileVariant & { fma: boolean },
  n4: string,
  product: Product,
): string {
  const mad = multiplyAdd(fma);
  const threads = across * down;
  const [height, width] = [tileM * down, tileN4 * across];
  const stride = step + PADDING;
  const left = range((height * step) / threads);
  const right = range((4 * step * width) / threads);
  const rows = range(tileM);
  const columns = range(tileN4);
  // Threads side by side read quads side by side; pairs have to be neighbours in a thread.
  const columnOf = (j: number): string => (product.storePair ? `x * ${tileN4}u + ${j}u` : `x + ${across * j}u`);
  const quad = (r: number, j: number): string => `shared_w[(4u * q + ${r}u) * ${width}u + ${columnOf(j)}]`;
  const addUp = `for (var q = 0u; q < ${step}u; q++) {
${declareRows(product, columns, quad)}${lines(
    rows.map(
      (i) => `  { let a = shared_a[(y + ${down * i}u) * ${stride}u + q];
${lines(range(4).flatMap((r) => columns.map((j) => `  sum${i}_${j} = ${mad(`vec4f(a[${r}])`, `w${r}_${j}`, `sum${i}_${j}`)};`)))} }`,
    ),
  )}
}`;
  const declare = [...left.map((i) => `left${i}`), ...right.map((i) => `right${i}`)]
    .map((name) => `var ${name} = vec4f();`)
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
      (i) => `shared_a[(local / ${step}u + ${(threads / step) * i}u) * ${stride}u + local % ${step}u] = left${i};`,
    ),
    ...right.map((i) => `shared_w[local + ${threads * i}u] = right${i};`),
  ]);
  return `var<workgroup> shared_a: array<vec4f, ${height * stride}>;
var<workgroup> shared_w: array<vec4f, ${4 * step * width}>;
@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) local: u32) {
  let n4 = ${n4};
  let columns = ${product.columns ?? "n4"};
  let slot = workgroup.z;
  let x = local % ${across}u;
  let y = local / ${across}u;
  let row = params.row_start + workgroup.y * ${height}u;
  let first = workgroup.x * ${width}u;
${lines(
  left.map((i) =>
    product.setup(String(i), `min(row + local / ${step}u + ${(threads / step) * i}u, ${product.rows} - 1u)`),
  ),
)}
${sums(rows, columns)}
${pipelined(product, left.map(String), step, { declare, load, share, addUp })}
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
