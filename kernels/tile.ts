/**
 * How matmul and conv2d share out the rows and columns of a product among threads, and the text of the shared part: which
 * quads a thread loads, and where it adds them up. A kernel gives the rest as a `Product`: where the rows lie.
 *
 * `registers`: a thread holds tileM x 4·tileN4 sums; no workgroup memory, which costs more than it saves on SwiftShader
 * and on Apple GPUs. Speed follows multiply-adds per load.
 * `broadcast`: a subgroup holds tileM·lanes x 4·tileN4·lanes sums. Each lane loads a quad of its own row, and all lanes take
 * it by subgroupBroadcast: llvmpipe pays for loads lane by lane (7 ns for 8 numbers, 0.3 ns for 8 multiply-adds).
 * `workgroup`: 64 threads hold 64 x 64 sums and share what they load in workgroup memory, for GPUs.
 */
import { linearWorkgroup, multiplyAdd, range } from "./wgsl.js";

/** Side of a square workgroup. */
export const WORKGROUP = 8;
/** Threads of a flat workgroup. */
export const FLAT_WORKGROUP = 32;
/** Rows and columns of the `workgroup` tile, and quads along the inner axis that it loads at a time. */
export const SHARED_TILE = 64;
export const SHARED_QUADS = 4;

export interface TileVariant {
  by: "plain" | "registers" | "broadcast" | "workgroup";
  /** Rows per thread. */
  tileM: number;
  /** vec4 columns per thread. */
  tileN4: number;
  /** Threads in one line over all tiles instead of 8 x 8 squares: no idle lanes on the narrow products of small models.
   *  For CPU adapters, where neighbouring threads share no loads anyway. */
  flat: boolean;
  /** Lanes of a subgroup, which the `broadcast` kernel is written for; 0 in others. */
  lanes: number;
}

/** What a kernel says of its left operand. The text sees `row` (first of the tile), `n4`, `column`, and params. */
export interface Product {
  /** The param with the number of rows of the whole product, and one behind the last row of this dispatch. */
  rows: string;
  /** Declares what row `row` needs, under names that end in `name`. */
  setup(name: string, row: string): string;
  /** Loops over the inner axis with `step` quads at a time around `body`, which sees `k` (quads from the start of the run).
   *  `names` are rows that were set up. */
  loops(names: readonly string[], step: number, body: (operands: Operands) => string): string;
  /** Quads of columns, where they are fewer than those of a row of the result (n4). */
  columns?: string;
  /** The index of a quad of the result, where it is not simply `row·n4 + column`. */
  at?(row: string, column: string): string;
  /** Terms added to the sums before they are stored; `sum(i, j)` and the row's index under `row(i)` are text. */
  epilogue(tile: Epilogue): string;
  /** The text that stores a finished quad. */
  store(at: string, sum: string): string;
  /** Instead of `store`, where two neighbouring quads make one of the result; `at` is the index of the first. */
  storePair?: ((at: string, first: string, second: string) => string) | null;
}

/** What a loop over the inner axis reads, as expressions. */
export interface Operands {
  /** Quad `k` of a row. */
  load(name: string, k: string): string;
  /** Quad `column` of row r of the four from quad k of the inner axis. */
  loadColumns(r: string, column: string): string;
}

/** Rows that lie one after another from the quad `base` on, which the loop declares. */
export const weightRows =
  (load4 = "load4_w"): Operands["loadColumns"] =>
  (r, column) =>
    `${load4}(base + ${r} * n4 + ${column})`;

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
}

const lines = (texts: readonly string[]): string => texts.join("\n");

/** The entry point of a tiled kernel. `n4` is an expression: quads of a row of the result. */
export function tiledEntry(variant: TileVariant & { fma: boolean }, n4: string, product: Product): string {
  if (variant.by === "broadcast") return broadcastEntry(variant, n4, product);
  if (variant.by === "workgroup") return workgroupEntry(variant, n4, product);
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
  let across = columns / ${tileN4}u;
  let row = params.row_start + (tile / across) * ${tileM}u;
  let column = (tile % across) * ${tileN4}u;
  if (row >= params.row_end) { return; }`
    : `let row = params.row_start + (workgroup.y * ${WORKGROUP}u + local.y) * ${tileM}u;
  let column = (workgroup.x * ${WORKGROUP}u + local.x) * ${tileN4}u;
  if (row >= params.row_end || column >= columns) { return; }`;
  const rows = range(tileM);
  const columns = range(tileN4);
  const inner = ({
    load,
    loadColumns,
  }: Operands): string => `${lines(range(4).flatMap((r) => columns.map((j) => `let w${r}_${j} = ${loadColumns(`${r}u`, `column + ${j}u`)};`)))}
${lines(
  rows.map(
    (i) => `{ let a = ${load(String(i), "k")};
${lines(range(4).flatMap((r) => columns.map((j) => `sum${i}_${j} = ${mad(`vec4f(a[${r}])`, `w${r}_${j}`, `sum${i}_${j}`)};`)))} }`,
  ),
)}`;
  return `@compute @workgroup_size(${flat ? FLAT_WORKGROUP : `${WORKGROUP}, ${WORKGROUP}`})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(local_invocation_id) local: vec3u) {
  let n4 = ${n4};
  let columns = ${product.columns ?? "n4"};
  let slot = workgroup.z;
  ${place}
${lines(rows.map((i) => product.setup(String(i), `min(row + ${i}u, ${product.rows} - 1u)`)))}
${sums(rows, columns)}
${product.loops(rows.map(String), 1, inner)}
${finish(rows, columns, product, {
  row: (i) => `min(row + ${i}u, params.row_end - 1u)`,
  column: (j) => `column + ${j}u`,
})}
}`;
}

/** Rows row + lane + lanes·i are loaded by this lane; the sums of all rows of the subgroup are in each lane, for its own columns. */
function broadcastEntry(
  { tileM, tileN4, lanes, fma }: TileVariant & { fma: boolean },
  n4: string,
  product: Product,
): string {
  const mad = multiplyAdd(fma);
  const blocks = range(tileM);
  const rows = range(tileM * lanes);
  const columns = range(tileN4);
  // All four steps of a sum in a row: it is loaded from the stack and stored there once, not four times.
  const inner = ({
    load,
    loadColumns,
  }: Operands): string => `${lines(range(4).flatMap((r) => columns.map((j) => `let w${r}_${j} = ${loadColumns(`${r}u`, `column + ${j}u`)};`)))}
${lines(
  blocks.map(
    (b) => `{ let quad = ${load(String(b), "k")};
${lines(
  range(lanes).map((lane) => {
    const i = b * lanes + lane;
    return `{ let a = subgroupBroadcast(quad, ${lane}u);
${lines(columns.map((j) => `sum${i}_${j} = ${range(4).reduce((sum, r) => mad(`vec4f(a[${r}])`, `w${r}_${j}`, sum), `sum${i}_${j}`)};`))} }`;
  }),
)} }`,
  ),
)}`;
  return `@compute @workgroup_size(${lanes})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(num_workgroups) grid: vec3u, @builtin(subgroup_invocation_id) lane: u32) {
  let n4 = ${n4};
  let columns = ${product.columns ?? "n4"};
  let slot = workgroup.z;
  // Rows first: a panel of w stays in the cache for all of them.
  let tile = ${linearWorkgroup};
  let down = (params.row_end - params.row_start + ${tileM * lanes - 1}u) / ${tileM * lanes}u;
  let row = params.row_start + (tile % down) * ${tileM * lanes}u;
  // Lanes past the last column compute it again, and store the same.
  let column = min((tile / down) * ${lanes * tileN4}u + lane * ${tileN4}u, columns - ${tileN4}u);
${lines(blocks.map((b) => product.setup(String(b), `min(row + ${b * lanes}u + lane, ${product.rows} - 1u)`)))}
${sums(rows, columns)}
${product.loops(blocks.map(String), 1, inner)}
${finish(rows, columns, product, {
  row: (i) => `min(row + ${i}u, params.row_end - 1u)`,
  column: (j) => `column + ${j}u`,
})}
}`;
}

/** Thread (x, y) of 8 x 8 holds rows row + 8·i + y and quads first + 2·x + j; all load the tile's operands together. */
function workgroupEntry({ fma }: TileVariant & { fma: boolean }, n4: string, product: Product): string {
  const mad = multiplyAdd(fma);
  const perRow = SHARED_TILE / 4;
  const loads = range((SHARED_TILE * SHARED_QUADS) / 64);
  const rows = range(SHARED_TILE / WORKGROUP);
  const columns = range(perRow / WORKGROUP);
  const inner = ({ load, loadColumns }: Operands): string => `
${lines(loads.map((i) => `shared_a[local + ${64 * i}u] = ${load(String(i), `k + (local % ${SHARED_QUADS}u)`)};`))}
${lines(
  loads.map(
    (i) =>
      `shared_w[local + ${64 * i}u] = ${loadColumns(`(local / ${perRow}u + ${(64 / perRow) * i}u)`, `min(first + local % ${perRow}u, columns - 1u)`)};`,
  ),
)}
workgroupBarrier();
for (var q = 0u; q < ${SHARED_QUADS}u; q++) {
${lines(range(4).flatMap((r) => columns.map((j) => `  let w${r}_${j} = shared_w[(4u * q + ${r}u) * ${perRow}u + x * ${columns.length}u + ${j}u];`)))}
${lines(
  rows.map(
    (i) => `  { let a = shared_a[(y + ${WORKGROUP * i}u) * ${SHARED_QUADS}u + q];
${lines(range(4).flatMap((r) => columns.map((j) => `  sum${i}_${j} = ${mad(`vec4f(a[${r}])`, `w${r}_${j}`, `sum${i}_${j}`)};`)))} }`,
  ),
)}
}
workgroupBarrier();`;
  return `var<workgroup> shared_a: array<vec4f, ${SHARED_TILE * SHARED_QUADS}>;
var<workgroup> shared_w: array<vec4f, ${4 * SHARED_QUADS * perRow}>;
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) local: u32) {
  let n4 = ${n4};
  let columns = ${product.columns ?? "n4"};
  let slot = workgroup.z;
  let x = local % ${WORKGROUP}u;
  let y = local / ${WORKGROUP}u;
  let row = params.row_start + workgroup.y * ${SHARED_TILE}u;
  let first = workgroup.x * ${perRow}u;
${lines(
  loads.map((i) =>
    product.setup(String(i), `min(row + local / ${SHARED_QUADS}u + ${(64 / SHARED_QUADS) * i}u, ${product.rows} - 1u)`),
  ),
)}
${sums(rows, columns)}
${product.loops(loads.map(String), SHARED_QUADS, inner)}
${finish(
  rows,
  columns,
  product,
  {
    row: (i) => `min(row + y + ${WORKGROUP * i}u, params.row_end - 1u)`,
    column: (j) => `min(first + x * ${columns.length}u + ${j}u, columns - 1u)`,
  },
  (i, j) => `row + y + ${WORKGROUP * i}u < params.row_end && first + x * ${columns.length}u + ${j}u < columns`,
)}
}`;
}

const sums = (rows: readonly number[], columns: readonly number[]): string =>
  lines(rows.flatMap((i) => columns.map((j) => `  var sum${i}_${j} = vec4f();`)));

/**
 * The epilogue and the stores. Rows past the end are the last row again: they hold its numbers and store them once more,
 * which costs less than a branch for each store (SwiftShader's compiler is exponential in branches). Where other threads
 * hold the last row (the workgroup tile), `inside` guards the stores.
 */
function finish(
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
