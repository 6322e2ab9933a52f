/** Tiles of products on GPUs. */
import { WORKGROUP } from "../../../kernels/tile.js";
import type { ProductUnits } from "../adapter_kind.js";
import type { ProductShape, SlicedTile, Tile } from "./tiling.js";

/** Fewer workgroups or threads than this leave a GPU's compute units idle. */
const FILLED = { workgroups: 256, threads: 8192 };
/** What a slice keeps of the inner axis at least: each writes sums that have to be read again. */
const SLICE = 256;

interface Candidate {
  tile: Tile & Required<Pick<Tile, "across" | "down" | "step">>;
  /** Speed where it fills the GPU, of the fastest. */
  speed: number;
}

const workgroup = (
  tileM: number,
  tileN4: number,
  across: number,
  down: number,
  step: number,
  speed: number,
): Candidate => ({
  tile: { by: "workgroup", tileM, tileN4, across, down, step },
  speed,
});

const WORKGROUP_TILES: readonly Candidate[] = [
  workgroup(16, 2, 16, 8, 4, 1),
  workgroup(16, 2, 8, 8, 4, 0.9),
  workgroup(8, 1, 16, 8, 4, 0.8),
];

/** The tile with which 64 threads hold 64 x 64 sums. */
export const SQUARE_TILE = workgroup(8, 2, 8, 8, 4, 1).tile;

/** [rows, columns] of a subgroup, subgroups side by side and below each other, quads of the inner axis. */
export function matrixTile(
  { matrix, lanes }: ProductUnits,
  [tileM, columns, across, down, step]: readonly [number, number, number, number, number],
): Candidate["tile"] {
  return { by: "matrix", tileM, tileN4: columns / 4, across, down, step, lanes, matrix };
}

const matrixTiles = (units: ProductUnits): Candidate[] => [
  { tile: matrixTile(units, [64, 32, 4, 2, 8]), speed: 1 },
  { tile: matrixTile(units, [32, 32, 2, 4, 8]), speed: 0.85 },
  { tile: matrixTile(units, [32, 32, 2, 2, 8]), speed: 0.75 },
];

export const tileRows = ({ tileM, down }: Candidate["tile"]): number => tileM * down;
export const tileColumns = ({ tileN4, across }: Candidate["tile"]): number => 4 * tileN4 * across;

/** The tile and the slices with which a GPU is likely to be done first. @param sliceable whether the inner axis may be cut */
export function hardwareTile(shape: ProductShape, sliceable: boolean, units: ProductUnits): SlicedTile {
  const { m, n, k, run = k, gated = false, halves = false } = shape;
  const most = sliceable ? Math.max(1, Math.floor(Math.min(k, shape.cut ?? k) / SLICE)) : 1;
  const candidates = halves && units.matrix ? matrixTiles(units) : WORKGROUP_TILES;
  let best: (SlicedTile & { score: number }) | null = null;
  for (const { tile, speed } of candidates) {
    if (run % (4 * tile.step) !== 0 || n % 32 !== 0 || (gated && tile.tileN4 % 2 !== 0)) continue;
    const tiles = Math.ceil(m / tileRows(tile)) * Math.ceil(n / tileColumns(tile));
    const slices = Math.min(most, Math.max(1, Math.floor(FILLED.workgroups / tiles)));
    const used = (m * n) / (tiles * tileRows(tile) * tileColumns(tile));
    const filled = Math.min(1, (tiles * slices) / FILLED.workgroups);
    const score = speed * used * filled * (slices > 1 ? 0.9 : 1);
    if (!best || score > best.score) best = { tile, slices, score };
  }
  // Of few rows, a tile would fill little.
  if (best && m >= 32) return { tile: best.tile, slices: best.slices };
  const tiles = [8, 4, 2, 1].map((tileM): Tile => ({ tileM, tileN4: n % 8 === 0 ? 2 : 1 }));
  if (!gated) tiles.push({ tileM: 1, tileN4: 1 });
  const threads = ({ tileM, tileN4 }: Tile): number => Math.ceil(m / tileM) * (n / (4 * tileN4));
  const mostSlices = sliceable ? Math.max(1, Math.floor(k / 128)) : 1;
  const tile = tiles.find((each) => threads(each) * mostSlices >= FILLED.threads) ?? tiles[tiles.length - 1];
  // Of squares, a few rows would fill some lines only.
  const flat = Math.ceil(m / tile.tileM) < WORKGROUP;
  return { tile: { ...tile, flat }, slices: Math.min(mostSlices, Math.ceil(FILLED.threads / threads(tile))) };
}
