/**
 * The `workgroup` tile of products, for GPUs: `across` x `down` threads hold tileM·down x 4·tileN4·across sums, and share what
 * they load in workgroup memory, `step` quads of the inner axis at a time.
 */
import type { Product } from "./product.js";
import { declareRows, finish, lines, sums, type TileVariant } from "./tile_parts.js";
import { declareShared, pitches, sharedBytes, sharedTurns, type Place, type Sharing } from "./tile_shared.js";
import { multiplyAdd, range } from "./wgsl.js";

type Sizes = Pick<TileVariant, "tileM" | "tileN4" | "across" | "down" | "step" | "buffers">;

const sharingOf = ({ tileM, tileN4, across, down, step, buffers }: Sizes): Sharing => ({
  threads: across * down,
  height: tileM * down,
  width: tileN4 * across,
  step,
  padding: { left: 1, right: 0 },
  type: "vec4f",
  buffers,
});

/**
 * Threads of a GPU's subgroup, and how many of them lie side by side: 8 x 4 read the fewest different quads. NVIDIA's workgroup memory
 * gives quads to half of a subgroup at once where threads i and i ^ 1, or i and i ^ 2, ask for the same one, else to a quarter.
 * So the lowest bit of a thread's index tells columns apart and the next one rows: both operands are read in half of the time.
 */
const SUBGROUP = 32;
const LINE = 8;
const LANE = {
  x: "(lane & 1u) + (lane >> 2u) % 4u * 2u",
  y: "(lane >> 1u) % 2u + lane / 16u * 2u",
};

/** Threads of a workgroup, and bytes of its memory. */
export const workgroupSizes = (tile: Sizes): { threads: number; bytes: number } => {
  const sharing = sharingOf(tile);
  return { threads: sharing.threads, bytes: sharedBytes(sharing) };
};

/** Declares x and y, a thread's place in its workgroup. */
function placeOf(across: number, down: number): string {
  if (across % LINE !== 0 || down % (SUBGROUP / LINE) !== 0)
    return `  let x = local % ${across}u;
  let y = local / ${across}u;`;
  return `  let subgroup = local / ${SUBGROUP}u;
  let lane = local % ${SUBGROUP}u;
  let x = ${LANE.x} + subgroup % ${across / LINE}u * ${LINE}u;
  let y = ${LANE.y} + subgroup / ${across / LINE}u * ${SUBGROUP / LINE}u;`;
}

export function workgroupEntry(tile: TileVariant & { fma: boolean }, n4: string, product: Product): string {
  const { tileM, tileN4, across, down, step, unrolled, fma } = tile;
  const mad = multiplyAdd(fma);
  const sharing = sharingOf(tile);
  const { threads, height, width } = sharing;
  const pitch = pitches(sharing);
  const rows = range(tileM);
  const columns = range(tileN4);
  // Threads side by side read quads side by side; pairs have to be neighbours in a thread.
  const columnOf = (j: number): string => (product.storePair ? `x * ${tileN4}u + ${j}u` : `x + ${across * j}u`);
  const addQuad = (q: string, { left, right }: Place): string => {
    const quad = (r: number, j: number): string =>
      `shared_w[${right} + (4u * ${q} + ${r}u) * ${pitch.right}u + ${columnOf(j)}]`;
    return `${declareRows(product, columns, quad)}${lines(
      rows.map(
        (i) => `  { let a = shared_a[${left} + (y + ${down * i}u) * ${pitch.left}u + ${q}];
${lines(range(4).flatMap((r) => columns.map((j) => `  sum${i}_${j} = ${mad(`vec4f(a[${r}])`, `w${r}_${j}`, `sum${i}_${j}`)};`)))} }`,
      ),
    )}`;
  };
  const addUp = (place: Place): string =>
    unrolled
      ? lines(range(step).map((q) => `{\n${addQuad(`${q}u`, place)}\n}`))
      : `for (var q = 0u; q < ${step}u; q++) {\n${addQuad("q", place)}\n}`;
  return `${declareShared(sharing)}@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) local: u32) {
  let n4 = ${n4};
  let columns = ${product.columns ?? "n4"};
  let slot = workgroup.z;
${placeOf(across, down)}
  let row = params.row_start + workgroup.y * ${height}u;
  let first = workgroup.x * ${width}u;
${sums(rows, columns)}
${sharedTurns(product, sharing, addUp, unrolled)}
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
