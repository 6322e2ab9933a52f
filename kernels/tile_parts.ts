/** What the tiled kernels of tile.ts share: their variants, and how sums are finished and stored. */
import { declared } from "./loops.js";
import type { Epilogue, Product } from "./product.js";
import { enable, range, type Format } from "./wgsl.js";

export interface TileVariant {
  by: "plain" | "registers" | "broadcast" | "swap" | "workgroup" | "matrix";
  /** Rows per thread; per subgroup in the `matrix` kernel. */
  tileM: number;
  /** vec4 columns per thread; per subgroup in the `matrix` kernel. */
  tileN4: number;
  /** Threads in one line over all tiles instead of 8 x 8 squares: no idle lanes on the narrow products of small models.
   *  For CPU adapters, where neighbouring threads share no loads anyway. */
  flat: boolean;
  /** Lanes of a subgroup, which the `broadcast` and `swap` kernels are written for; 0 in others. */
  lanes: number;
  /** Quads of the inner axis that a kernel takes in one turn of the loop; runs are multiples of it. */
  step: number;
  /** Threads (`matrix`: subgroups) side by side and below each other in a workgroup; 0 in kernels without workgroup memory. */
  across: number;
  down: number;
  /** Turns of the inner axis that lie in workgroup memory: of two, one is filled while the other is added up. `workgroup` kernels only. */
  buffers: 1 | 2;
  /** Turns are unrolled in text: GPUs' drivers leave loops as they are, CPU adapters' take seconds for long texts. `workgroup` kernels only. */
  unrolled: boolean;
  /** w lies in panels, each as wide as a tile, one behind the other (panels.wgsl.ts). `swap` kernels only. */
  panels: boolean;
  /** What the subgroup's matrices of the `matrix` kernel measure. */
  matrix: MatrixShape | null;
}

/** Of subgroup matrices: left m x k, right k x n, result m x n. */
export interface MatrixShape {
  m: number;
  n: number;
  k: number;
}

/** Whether lanes share what they load, so that the text needs `enable subgroups`. */
export const usesSubgroups = ({ by }: Pick<TileVariant, "by">): boolean => by === "broadcast" || by === "swap";

/** The accessors (see `tensor`) by which a tile's kernels load quads: matrices take halves as they are. */
export const loadOf = ({ by }: Pick<TileVariant, "by">): "half4" | "load4" => (by === "matrix" ? "half4" : "load4");

/** Quads of columns that a tile of the `broadcast` and `swap` kernels covers. */
export const quadsAcross = ({ by, tileN4, lanes }: Pick<TileVariant, "by" | "tileN4" | "lanes">): number =>
  by === "swap" ? tileN4 * lanes : tileN4;

/** The directives that the kernels of a tile need. */
export const enableTile = (format: Format, { by }: Pick<TileVariant, "by">): string =>
  enable(format, usesSubgroups({ by }) || by === "matrix") + (by === "matrix" ? MATRICES : "");

/** The analysis cannot know that a thread's index, over the lanes, is the same in a subgroup. */
const MATRICES = `enable chromium_experimental_subgroup_matrix;
diagnostic(off, chromium.subgroup_matrix_uniformity);
`;

/** Declares row r of quad j as `w{r}_{j}`; `quad(r, j)` is what `loadColumns` gives for it. */
export const declareRows = (
  { transposed = false }: Product,
  columns: readonly number[],
  quad: (r: number, j: number) => string,
): string => (transposed ? loaded("t", columns, quad) + turned("w", "t", columns) : loaded("w", columns, quad));

/** Declares number r of quad j as `t{r}_{j}`: four numbers along the inner axis. */
export const declareColumns = (
  { transposed = false }: Product,
  columns: readonly number[],
  quad: (r: number, j: number) => string,
): string => (transposed ? loaded("t", columns, quad) : loaded("w", columns, quad) + turned("t", "w", columns));

const loaded = (name: string, columns: readonly number[], quad: (r: number, j: number) => string): string =>
  range(4)
    .flatMap((r) => columns.map((j) => `let ${name}${r}_${j} = ${quad(r, j)};\n`))
    .join("");

const turned = (to: string, from: string, columns: readonly number[]): string =>
  columns
    .flatMap((j) =>
      range(4).map((r) => {
        const numbers = range(4).map((z) => `${from}${z}_${j}[${r}]`);
        return `let ${to}${r}_${j} = vec4f(${numbers.join(", ")});\n`;
      }),
    )
    .join("");

export const lines = (texts: readonly string[]): string => texts.join("\n");

/** Declares the sums. */
export const sums = (rows: readonly number[], columns: readonly number[]): string =>
  lines(rows.map((i) => `  ${declared(columns.map((j) => `sum${i}_${j}`))}`));

/**
 * The epilogue and the stores. Rows past the end are the last row again: they hold its numbers and store them once more,
 * which costs less than a branch for each store (SwiftShader's compiler is exponential in branches). Where other threads
 * hold the last row (the workgroup tile), `inside` guards the stores.
 */
export function finish(
  rows: readonly number[],
  columns: readonly number[],
  product: Product,
  place: { row(i: number): string; column(j: number): string },
  inside?: (i: number, j: number) => string,
): string {
  const epilogue: Epilogue = {
    rows,
    columns,
    sum: (i, j) => `sum${i}_${j}`,
    row: (i) => `row${i}`,
    at: (i, j) => product.at?.(`row${i}`, `column${j}`) ?? `row${i} * n4 + column${j}`,
    column: (j) => `column${j}`,
    ofColumns: (name, load) => lines(columns.map((j) => `  let ${name}${j} = ${load(`column${j}`)};`)),
  };
  const { storePair } = product;
  const store = (i: number, j: number): string =>
    storePair
      ? storePair(epilogue.at(i, j), epilogue.sum(i, j), epilogue.sum(i, j + 1))
      : product.store(epilogue.at(i, j), epilogue.sum(i, j));
  const stored = storePair ? columns.filter((j) => j % 2 === 0) : columns;
  return `${lines(columns.map((j) => `  let column${j} = ${place.column(j)};`))}
${lines(rows.map((i) => `  let row${i} = ${place.row(i)};`))}
${product.epilogue(epilogue)}
${lines(rows.flatMap((i) => stored.map((j) => (inside ? `  if (${inside(i, j)}) { ${store(i, j)} }` : `  ${store(i, j)}`))))}`;
}
