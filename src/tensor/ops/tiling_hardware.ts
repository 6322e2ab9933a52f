/** Tiles of products on GPUs: which of them, and how many slices of the inner axis, by a model fitted to times on an H100. */
import { WORKGROUP } from "../../../kernels/tile.js";
import { matrixSizes } from "../../../kernels/tile_matrix.js";
import { workgroupSizes } from "../../../kernels/tile_workgroup.js";
import type { ProductUnits } from "../adapter_kind.js";
import type { Device } from "../device.js";
import type { ProductShape, SlicedTile, Tile } from "./tiling.js";

/** A tile of kernels/tile_workgroup.ts or kernels/tile_matrix.ts. */
export type SharedTile = Tile & Required<Pick<Tile, "across" | "down" | "step" | "buffers">>;

interface Candidate {
  tile: SharedTile;
  /** Where all of a GPU is busy, of that of the first workgroup tile. */
  speed: number;
  /** Workgroups of it that keep all of a GPU busy. */
  full: number;
  /** Numbers of the inner axis in whose time a workgroup begins and ends. */
  start?: number;
}

/** Two buffers need half of the barriers; two quads of the inner axis in each keep the text of the loop short. */
const workgroup = (tileM: number, tileN4: number, across: number, down: number): SharedTile => ({
  by: "workgroup",
  tileM,
  tileN4,
  across,
  down,
  step: 2,
  buffers: 2,
});

/** 64 x 128 sums of 128 threads, 8 x 8 of each: it fits into 16 KiB, which every device has. */
export const WORKGROUP_TILE = workgroup(8, 2, 16, 8);

/** 64 x 64 sums of 128 threads. */
export const SMALL_WORKGROUP_TILE = workgroup(8, 1, 16, 8);

const WORKGROUP_TILES: readonly Candidate[] = [
  { tile: WORKGROUP_TILE, speed: 1, full: 350, start: 73 },
  // One of it keeps a core busy, and it divides the columns of Stable Diffusion's layers, 320 and multiples of it.
  { tile: { ...workgroup(4, 5, 8, 32), step: 4 }, speed: 0.9, full: 94, start: 74 },
  { tile: SMALL_WORKGROUP_TILE, speed: 0.81, full: 325, start: 107 },
];

/** @param sizes rows and columns of a subgroup, subgroups side by side and below each other, quads of the inner axis */
export function matrixTile(
  { matrix, lanes }: ProductUnits,
  [tileM, columns, across, down, step]: readonly [number, number, number, number, number],
): SharedTile {
  return { by: "matrix", tileM, tileN4: columns / 4, across, down, step, buffers: 1, lanes, matrix };
}

const matrixTiles = (units: ProductUnits): Candidate[] => [
  { tile: matrixTile(units, [64, 32, 4, 2, 8]), speed: 4.24, full: 90, start: 131 },
  { tile: matrixTile(units, [64, 32, 2, 2, 8]), speed: 3.84, full: 148, start: 110 },
  { tile: matrixTile(units, [32, 32, 2, 2, 8]), speed: 3.19, full: 248, start: 91 },
  // For layers of 320 columns and multiples of it.
  { tile: matrixTile(units, [64, 32, 5, 2, 8]), speed: 4.58, full: 111, start: 116 },
  { tile: matrixTile(units, [32, 80, 2, 2, 8]), speed: 4.23, full: 119, start: 180 },
];

const SLICES = [1, 2, 4, 8, 16];
/** The same for those who measure: workgroups may then fill all cores of a GPU, whose number no API tells, several times over. */
const MORE_SLICES = [...SLICES, 3, 6, 12, 18, 24].sort((a, b) => a - b);
/** What a slice keeps of the inner axis at least. */
const SLICE = 128;
/** Multiply-adds in the time that the sum of a slice takes to be written and read again, and in that of another dispatch. */
const SLICE_COST = { workgroup: { sum: 7, dispatch: 2.7e8 }, matrix: { sum: 261, dispatch: 2.3e8 } };
/** Of fewer rows, a tile would fill little. */
const FEW_ROWS = 32;

/** The tile and the slices with which a GPU is likely to be done first. @param sliceable whether the inner axis may be cut */
export function hardwareTile(device: Device, shape: ProductShape, sliceable: boolean): SlicedTile {
  let best: RankedTile | null = null;
  for (const ranked of rankedTiles(device, shape, sliceable)) if (!best || ranked.score > best.score) best = ranked;
  return best ? { tile: best.tile, slices: best.slices } : registerTile(shape, sliceable);
}

/** A tile with its slices, and how fast it is likely to be. */
interface RankedTile extends SlicedTile {
  score: number;
}

/** Every tile and number of slices that a device can run for a product. */
function* rankedTiles(
  device: Device,
  shape: ProductShape,
  sliceable: boolean,
  { candidates = candidatesOf(device, shape), counts = SLICES } = {},
): Generator<RankedTile> {
  const { m, n, k, run = k, cut = k, gated = false, times = 1 } = shape;
  for (const { tile, speed, full, start = 0 } of candidates) {
    const divides = run % (4 * tile.step) === 0 && n % 32 === 0 && !(gated && tile.tileN4 % 2 !== 0);
    if (m < FEW_ROWS || !divides || !fits(device.limits, tile)) continue;
    const [height, width] = [tile.tileM * tile.down, 4 * tile.tileN4 * tile.across];
    const tiles = Math.ceil(m / height) * Math.ceil(n / width);
    const used = (m * n) / (tiles * height * width);
    const groups = times * tiles;
    for (const slices of counts) {
      if (slices > 1 && !(sliceable && Math.min(k, 2 * cut) >= slices * SLICE)) break;
      const { sum, dispatch } = SLICE_COST[tile.matrix ? "matrix" : "workgroup"];
      const busy = (1 + (full / (groups * slices)) ** 4) ** (-1 / 4);
      const cost = slices > 1 ? (slices * sum) / k + dispatch / (m * n * k) : 0;
      const score = speed / ((1 + (slices * start) / k) / (used * busy) + cost);
      yield { tile, slices, score };
    }
  }
}

const candidatesOf = ({ productUnits }: Device, { format }: ProductShape): readonly Candidate[] =>
  format === "f16" && productUnits.matrix ? [...matrixTiles(productUnits), ...WORKGROUP_TILES] : WORKGROUP_TILES;

/**
 * What may be faster on a GPU that is no H100: a guess, for those who measure (tuning/tune.ts). Fewer sums a thread leave more threads
 * to a core, two buffers need fewer barriers, and some drivers keep short loops better than long texts.
 */
const otherCandidates = ({ productUnits: units }: Device, { format }: ProductShape): readonly Candidate[] =>
  (format === "f16" && units.matrix
    ? [
        matrixTile(units, [32, 64, 2, 2, 8]),
        matrixTile(units, [64, 64, 2, 2, 8]),
        matrixTile(units, [32, 32, 4, 2, 8]),
        matrixTile(units, [32, 32, 2, 2, 4]),
      ]
    : [
        workgroup(4, 1, 16, 16),
        workgroup(4, 2, 8, 16),
        workgroup(8, 2, 8, 16),
        workgroup(8, 2, 8, 8),
        workgroup(8, 2, 16, 16),
        { ...WORKGROUP_TILE, step: 4, buffers: 1 as const },
        { ...WORKGROUP_TILE, unrolled: false },
      ]
  ).map((tile) => ({ tile, speed: 0.95, full: 330 }));

/** Tiles that are worth to be measured, and slices besides the likeliest ones of as many. */
const MOST_TILES = 10;
const MOST_SLICED = 5;

/** Tiles and slices among which the fastest on this very device should be, the likeliest first. */
export function likelyTiles(device: Device, shape: ProductShape, sliceable: boolean): SlicedTile[] {
  const candidates = [...candidatesOf(device, shape), ...otherCandidates(device, shape)];
  const all = rankedTiles(device, shape, sliceable, { candidates, counts: MORE_SLICES });
  const ranked = [...all].sort((a, b) => b.score - a.score);
  const first = (each: RankedTile): boolean => ranked.find(({ tile }) => tile === each.tile) === each;
  const chosen = [
    ...ranked.filter(first).slice(0, MOST_TILES),
    ...ranked.filter((each) => !first(each)).slice(0, MOST_SLICED),
  ];
  return [...chosen.map(({ tile, slices }) => ({ tile, slices })), registerTile(shape, sliceable)];
}

/** Whether a device has the threads and the workgroup memory for a tile. */
function fits(limits: GPUSupportedLimits, tile: SharedTile): boolean {
  const { threads, bytes } = tile.matrix ? matrixSizes({ lanes: 0, ...tile }, tile.matrix) : workgroupSizes(tile);
  return threads <= limits.maxComputeInvocationsPerWorkgroup && bytes <= limits.maxComputeWorkgroupStorageSize;
}

/** Fewer threads than this leave a GPU's compute units idle. */
const FILLED = 8192;

/** For products of few rows or of odd sizes: the largest tile of which there are enough. */
function registerTile({ m, n, k, gated = false }: ProductShape, sliceable: boolean): SlicedTile {
  const most = sliceable ? Math.max(1, Math.floor(k / SLICE)) : 1;
  const tiles = [8, 4, 2, 1].map((tileM): Tile => ({ tileM, tileN4: n % 8 === 0 ? 2 : 1 }));
  if (!gated) tiles.push({ tileM: 1, tileN4: 1 });
  const threads = ({ tileM, tileN4 }: Tile): number => Math.ceil(m / tileM) * (n / (4 * tileN4));
  const tile = tiles.find((each) => threads(each) * most >= FILLED) ?? tiles[tiles.length - 1];
  // Of squares, a few rows would fill some lines only.
  const flat = Math.ceil(m / tile.tileM) < WORKGROUP;
  return { tile: { ...tile, flat }, slices: Math.min(most, Math.ceil(FILLED / threads(tile))) };
}
