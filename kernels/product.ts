/** How a kernel describes its product to the tiles of tile.ts: where rows and columns lie, and what becomes of the sums. */

import { quadsAcross, type TileVariant } from "./tile_parts.js";

/** Text that says which quads of the inner axis are those of slice `slot` of `slices`, whole turns of `step` quads. */
export const sliceFunctions = (step: number): string => /* wgsl */ `
fn slice_of(quads: u32, slot: u32) -> vec2u {
  let size = (quads + params.slices * ${step}u - 1u) / (params.slices * ${step}u) * ${step}u;
  return min(vec2u(slot * size, (slot + 1u) * size), vec2u(quads));
}
`;

/** From where to where a loop over `quads` of the inner axis goes, all of them or those of the slice: a vec2u. */
export const partOf = (quads: string, split: boolean): string =>
  split ? `slice_of(${quads}, slot)` : `vec2u(0u, ${quads})`;

/** What a kernel says of its left operand. The text sees `row` (first of the tile), `n4`, `column`, and params. */
export interface Product {
  /** The param with the number of rows of the whole product, and one behind the last row of this dispatch. */
  rows: string;
  /** Declares what row `row` needs, under names that end in `name`. */
  setup(name: string, row: string): string;
  /** Loops over the inner axis with `step` quads at a time around `body`, which sees `k` (quads from the start of the run) and
   *  `base` (the quad of w[4k, 0]). `names` are rows that were set up; a loop may read other operands than those named here. */
  loops(names: readonly string[], step: number, body: (others?: Partial<Operands>) => string): string;
  /** The same loops, one behind the other, for kernels that load a turn ahead. */
  walks(names: readonly string[], step: number): readonly Walk[];
  /** Quad `k` of a row, an expression. */
  load(name: string, k: string): string;
  /** Quads of columns, where they are fewer than those of a row of the result (n4). */
  columns?: string;
  /** Quad `column` of row r from 4k on along the inner axis; a tile that reads panels counts columns from its own first. */
  loadColumns(r: string, column: string): string;
  /** w lies column by column: `loadColumns` gives instead quad k + r / 4 along column 4·column + r % 4. */
  transposed?: boolean;
  /** The index of a quad of the result, where it is not simply `row·n4 + column`. */
  at?(row: string, column: string): string;
  /** Terms added to the sums before they are stored; `sum(i, j)` and the row's index under `row(i)` are text. */
  epilogue(tile: Epilogue): string;
  /** The text that stores a finished quad. */
  store(at: string, sum: string): string;
  /** Instead of `store`, where two neighbouring quads make one of the result; `at` is the index of the first. */
  storePair?: ((at: string, first: string, second: string) => string) | null;
}

/** Turns along the inner axis, as text. */
export interface Walk {
  /** Declares the variables of the first turn, `k` among them. */
  begin: string;
  /** How many turns there are. */
  turns: string;
  /** Moves the variables to the next turn; where there is none, to any place that can be read. */
  next: string;
  /** Declares what the loads of a turn need besides, `base` for one. */
  each?: string;
  others?: Partial<Operands>;
}

/** What a loop over the inner axis reads. */
export type Operands = Pick<Product, "load" | "loadColumns">;

/** Where a tile finds w. */
export interface WeightRows {
  /** What a loop declares as `base` for `load`: where row `row` of all `rows` begins, or the tile's part of it. */
  base(row: string, rows: string): string;
  /** `loadColumns`, by the accessor of w. */
  load(load4: string): Product["loadColumns"];
}

/** Rows of w lie whole, one behind the other, or in panels as wide as the tile. */
export const weightRows = (tile: TileVariant): WeightRows => {
  const width = tile.panels ? `${quadsAcross(tile)}u` : "n4";
  return {
    base: (row, rows) => `(${tile.panels ? `panel * (${rows}) + ` : ""}${row}) * ${width}`,
    load: (load4) => (r, column) => `${load4}(base + ${r} * ${width} + ${column})`,
  };
};

/** Along a single run of quads: `before` declares what its other texts see. */
export const straight = (
  run: { before: string; from: string; to: string; each?: string },
  others?: Partial<Operands>,
): Pick<Product, "loops" | "walks"> => ({
  loops: (_names, step, body) => `${run.before}
  for (var k = ${run.from}; k < ${run.to}; k += ${step}u) {
    ${run.each ?? ""}
${body(others)}
  }`,
  walks: (_names, step) => [straightWalk(run, step, others)],
});

export const straightWalk = (
  { before, from, to, each }: Parameters<typeof straight>[0],
  step: number,
  others?: Partial<Operands>,
): Walk => ({
  begin: `${before}
  let last = max(${to}, ${step}u) - ${step}u;
  var k = min(${from}, last);`,
  turns: `(${to} - ${from}) / ${step}u`,
  next: `k = min(k + ${step}u, last);`,
  each,
  others,
});

export interface Epilogue {
  rows: readonly number[];
  columns: readonly number[];
  sum(i: number, j: number): string;
  /** The row of the result; clamped to the last. */
  row(i: number): string;
  /** Its quad j of the result, an index. */
  at(i: number, j: number): string;
  /** Quad j's index among the columns. */
  column(j: number): string;
  /** Declares, as `name` and j, what `load` gives for each quad j of columns: of its index, as text. */
  ofColumns(name: string, load: (column: string) => string): string;
}
