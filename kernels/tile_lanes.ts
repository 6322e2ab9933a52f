/**
 * The tiled kernels in which the lanes of a subgroup share what they load; see tile.ts. A workgroup is one subgroup.
 */
import { chosen, hidden } from "./loops.js";
import type { Product } from "./product.js";
import { declareColumns, declareRows, finish, lines, quadsAcross, sums, type TileVariant } from "./tile_parts.js";
import { linearWorkgroup, multiplyAdd, range } from "./wgsl.js";

type LanesVariant = TileVariant & { fma: boolean };

interface Frame {
  /** What is added to the tile's first column for the lane's own. */
  offset: string;
  rows: readonly number[];
  /** The row that the sums of a row of `rows` belong to; it may lie past the end. */
  row(i: number): string;
  /** Sums are finished in a loop over columns, which compiles sooner. (SwiftShader would move them to memory for it.) */
  looped: boolean;
  /** Text before the loops. */
  before: string;
  body: (from: Product) => string;
}

function entry(variant: LanesVariant, n4: string, product: Product, frame: Frame): string {
  const { tileM, tileN4, lanes, step } = variant;
  const { offset, rows, row, looped, before, body } = frame;
  const blocks = range(tileM);
  const columns = range(tileN4);
  const across = quadsAcross(variant);
  const column = variant.panels
    ? `  let column = min(panel * ${across}u, columns - ${across}u)${offset};`
    : `  let column = min(panel * ${across}u${offset}, columns - ${tileN4}u);`;
  return `@compute @workgroup_size(${lanes})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(subgroup_invocation_id) lane: u32) {
  let n4 = ${n4};
  let columns = ${product.columns ?? "n4"};
  let slot = workgroup.z;
  // Rows first: a panel of w stays in the cache for all of them.
  let tile = ${linearWorkgroup};
  let down = (params.row_end - params.row_start + ${tileM * lanes - 1}u) / ${tileM * lanes}u;
  let row = params.row_start + (tile % down) * ${tileM * lanes}u;
  // What would lie past the last column computes it again, and stores the same.
  let panel = tile / down;
${column}
${lines(blocks.map((b) => product.setup(String(b), `min(row + ${b * lanes}u + lane, ${product.rows} - 1u)`)))}
${before}
${sums(rows, columns)}
${product.loops(blocks.map(String), step, (others) => body({ ...product, ...others }))}
${(looped ? finishByColumns : finish)(rows, columns, product, {
  row: (i) => `min(${row(i)}, params.row_end - 1u)`,
  column: (j) => `column + ${j}u`,
})}
}`;
}

/** The same as `finish`, in a loop over columns, or pairs of them (loops.ts); there a column's sums hide all of the same name. */
function finishByColumns(
  rows: readonly number[],
  columns: readonly number[],
  product: Product,
  place: Parameters<typeof finish>[3],
): string {
  const width = product.storePair ? 2 : 1;
  if (columns.length === width) return finish(rows, columns, product, place);
  const each = range(width);
  const sumsOf = (i: number, z: number): string[] => columns.filter((j) => j % width === z).map((j) => `sum${i}_${j}`);
  return `  let turns = ${hidden(columns.length / width, "columns == 0u")};
  for (var turn = 0u; turn < turns; turn++) {
${lines(rows.flatMap((i) => each.map((z) => `    var sum${i}_${z} = ${chosen(sumsOf(i, z), "turn")};`)))}
${finish(rows, each, product, { ...place, column: (z) => `column + ${width}u * turn + ${z}u` })}
  }`;
}

/** Lanes hold the sums of their own rows for all columns of the tile, and load its quads of w together. */
export function broadcastEntry(variant: LanesVariant, n4: string, product: Product): string {
  const { tileM, tileN4, lanes, step, fma } = variant;
  const mad = multiplyAdd(fma);
  const blocks = range(tileM);
  const loads = range(Math.ceil((4 * tileN4) / lanes));
  const quad = (r: number, j: number): string => {
    const at = r * tileN4 + j;
    return `subgroupBroadcast(quads${Math.floor(at / lanes)}, ${at % lanes}u)`;
  };
  // All four steps of a sum in a row: it is loaded from the stack and stored there once, not four times.
  const add = (b: number, j: number): string =>
    `sum${b}_${j} = ${range(4).reduce((sum, r) => mad(`vec4f(a${b}[${r}])`, `w${r}_${j}`, sum), `sum${b}_${j}`)};`;
  const body = (from: Product, u: number): string => `{
${lines(loads.map((i) => `let quads${i} = ${from.loadColumns(`(${4 * u}u + r${i})`, `column + j${i}`)};`))}
${lines(blocks.map((b) => `let a${b} = ${from.load(String(b), `k + ${u}u`)};`))}
${lines(range(tileN4).map((j) => `{ ${declareRows(from, [j], quad)}${lines(blocks.map((b) => add(b, j)))} }`))} }`;
  return entry(variant, n4, product, {
    offset: "",
    rows: blocks,
    row: (b) => `row + ${b * lanes}u + lane`,
    looped: true,
    // Lanes past the last quad of the tile load it once more.
    before: lines(
      loads.map((i) => {
        const own = `min(${i * lanes}u + lane, ${4 * tileN4 - 1}u)`;
        return `  let r${i} = ${own} / ${tileN4}u; let j${i} = ${own} % ${tileN4}u;`;
      }),
    ),
    body: (from) => lines(range(step).map((u) => body(from, u))),
  });
}

/** What lane l has of the quad that lane l ^ p loaded under the name `quad`. SwiftShader's swaps give integers, which it turns
 *  to floats through memory at every use: a product with `one` is a float for good. */
const SWAPPED: readonly string[] = [
  "quad",
  "quadSwapX(quad) * one",
  "quadSwapY(quad) * one",
  "quadSwapDiagonal(quad) * one",
];

/** Lanes hold the sums of all rows of the subgroup for their own columns, and trade the quads of their rows. */
export function swapEntry(variant: LanesVariant, n4: string, product: Product): string {
  const { tileM, tileN4, lanes, step, panels } = variant;
  const columns = range(tileN4);
  const own = panels ? `lane * ${tileN4}u` : "column";
  // Number by number, column of w by row of x: SwiftShader then keeps the sum and the row in registers.
  const add = (i: number, j: number): string =>
    `sum${i}_${j} += vec4f(${range(4)
      .map((z) => `dot(t${z}_${j}, a)`)
      .join(", ")});`;
  const block = (from: Product, b: number, u: number): string => `{ let quad = ${from.load(String(b), `k + ${u}u`)};
${lines(SWAPPED.map((text, p) => `{ let a = ${text};\n${lines(columns.map((j) => add(b * lanes + p, j)))} }`))} }`;
  const body = (from: Product, u: number): string => `{
${declareColumns(from, columns, (r, j) => from.loadColumns(`${4 * u + r}u`, `${own} + ${j}u`))}${lines(range(tileM).map((b) => block(from, b, u)))} }`;
  return entry(variant, n4, product, {
    offset: ` + lane * ${tileN4}u`,
    rows: range(tileM * lanes),
    row: (i) => `row + ${i - (i % lanes)}u + (lane ^ ${i % lanes}u)`,
    looped: false,
    // Always 1, which the compiler does not know.
    before: "  let one = select(1.0, 0.0, n4 == 0u);",
    body: (from) => lines(range(step).map((u) => body(from, u))),
  });
}
