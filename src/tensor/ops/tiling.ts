/** Which kernel and tile a matmul or a convolution (as a matmul) takes on a device. */
import { FLAT_WORKGROUP, WORKGROUP } from "../../../kernels/tile.js";
import { usesSubgroups, type TileVariant } from "../../../kernels/tile_parts.js";
import type { Format, Textures } from "../../../kernels/wgsl.js";
import type { Device } from "../device.js";
import { TextureCache } from "../texture_cache.js";
import { foldedGrid, MOST_WORKGROUPS } from "./common.js";
import { hardwareTile, likelyTiles } from "./tiling_hardware.js";

/** A kernel's tile; `by` defaults to registers, operands to buffers. */
export type Tile = Pick<TileVariant, "tileM" | "tileN4"> & Partial<TileVariant> & { textures?: Textures };

export const PLAIN: Tile = { by: "plain", tileM: 0, tileN4: 0 };

/** A product x[m, k] · w[k, n], as far as the choice depends on it. */
export interface ProductShape {
  m: number;
  n: number;
  /** The inner axis. */
  k: number;
  /** What one run along it must be a multiple of: input channels of one tap. */
  run?: number;
  xBytes: number;
  wBytes: number;
  /** Columns come in pairs of quads. */
  gated?: boolean;
  /** Of the operands. */
  format: Format;
  /** What is cut when the inner axis is, where that is not all of it: input channels. */
  cut?: number;
  /** How many products of this shape a kernel has to do. */
  times?: number;
}

/** A tile, and into how many slices the inner axis is cut for it; threads then add up one each (split-K). */
export interface SlicedTile {
  tile: Tile;
  slices: number;
}

/** The tile for a product whose inner axis may be cut. CPU adapters have few threads to fill, and pairs are not merged. */
export function chooseSlicedTile(device: Device, shape: ProductShape): SlicedTile {
  if (device.isSoftware || !hasTiles(device, shape)) return { tile: chooseTile(device, shape), slices: 1 };
  return hardwareTile(device, shape, !shape.gated);
}

/** The tile for a product whose inner axis stays whole. */
export function chooseTile(device: Device, shape: ProductShape): Tile {
  const { n } = shape;
  if (!hasTiles(device, shape)) return PLAIN;
  if (!device.isSoftware) return hardwareTile(device, shape, false).tile;
  if (device.broadcastLanes > 0) return broadcastTile(device, shape);
  return swiftShaderTile(device, shape) ?? smallTile(n);
}

/** Tiles and slices among which the fastest on this very device should be (tuning/); none where only the plain kernel takes it. */
export function likelySlicedTiles(device: Device, shape: ProductShape, sliceable: boolean): SlicedTile[] {
  if (!hasTiles(device, shape)) return [];
  if (!device.isSoftware) return likelyTiles(device, shape, sliceable);
  const { broadcastLanes, quadSwaps } = device;
  const tiles =
    broadcastLanes > 0
      ? likelyBroadcastTiles(device, shape)
      : quadSwaps
        ? likelySwapTiles(device, shape)
        : likelyRegisterTiles(shape);
  return tiles.map((tile) => ({ tile, slices: 1 }));
}

/** Whether any kernel but the plain one takes it: those load and store whole quads, or pairs of them. */
const hasTiles = ({ plainKernels }: Device, { n, k, run = k, gated = false }: ProductShape): boolean =>
  !plainKernels && n % (gated ? 8 : 4) === 0 && run % 4 === 0;

/** What any adapter compiles fast. */
const smallTile = (n: number): Tile => ({ tileM: 4, tileN4: n % 8 === 0 ? 2 : 1 });

/** Work from which a faster kernel is worth the second or so that CPU adapters take to compile it. */
export const LONG = 5e8;

/**
 * llvmpipe. 32 x 32 sums are among the fastest for halves, 24 x 32 are 1.08 times as fast for floats, whose loads are twice the
 * instructions, and 16 x 16 compile in half of the time.
 */
function broadcastTile(device: Device, { m, n, k, format, times = 1 }: ProductShape): Tile {
  const lanes = device.broadcastLanes;
  const by = "broadcast" as const;
  const blocks = Math.ceil(m / lanes);
  /** Rows that a tile so tall computes, past the last ones too, in lanes. */
  const rows = (tall: number): number => tall * Math.ceil(m / (tall * lanes));
  const tall = format === "f32" && rows(3) < 1.08 * rows(4) ? 3 : 4;
  if (2 * m * n * k * times >= LONG && n % 32 === 0) return { by, lanes, tileM: Math.min(tall, blocks), tileN4: 8 };
  const tileN4 = [4, 2].find((size) => n % (4 * size) === 0) ?? (n > 16 ? 2 : 1);
  return { by, lanes, tileM: Math.min(2, blocks), tileN4 };
}

function likelyBroadcastTiles({ broadcastLanes: lanes }: Device, { m, n }: ProductShape): Tile[] {
  const blocks = Math.ceil(m / lanes);
  return [4, 3, 2]
    .filter((tileM) => tileM <= blocks)
    .flatMap((tileM) => [8, 4, 2].map((tileN4): Tile => ({ by: "broadcast", lanes, tileM, tileN4 })))
    .filter(({ tileN4 }) => n % (4 * tileN4) === 0);
}

/**
 * SwiftShader: big tiles, as many numbers as possible per fetched texel, where the work is worth a copy of x in a texture and half
 * a second of compiling. Its subgroups have four lanes.
 */
function swiftShaderTile(
  device: Device,
  { m, n, k, run = k, xBytes, wBytes, gated, times = 1 }: ProductShape,
): Tile | null {
  const { cheapTextures, quadSwaps } = device;
  const fits = cheapTextures && TextureCache.fits("weight", wBytes);
  const textures = TextureCache.fits("activation", xBytes) ? ("xw" as const) : ("w" as const);
  const long = 2 * m * n * k * times >= LONG / 5 && fits;
  if (long && quadSwaps && m >= 32) {
    const tile = swapTile({ rows: m, quads: n / 4, run: run / 4, textures, gated });
    if (tile) return { ...tile, panels: true };
  }
  if (long && n % 16 === 0) return { tileM: 16, tileN4: 4, textures };
  if (!quadSwaps || n < 16) return null;
  const tile = { tileM: Math.min(4, Math.ceil(m / 4)), tileN4: gated ? 2 : 1 };
  return { by: "swap", lanes: 4, ...tile, step: 1, textures: fits ? "w" : "none" };
}

function likelySwapTiles(device: Device, { m, n, k, run = k, xBytes, wBytes, gated }: ProductShape): Tile[] {
  if (!device.cheapTextures || !TextureCache.fits("weight", wBytes)) return [];
  const textures = TextureCache.fits("activation", xBytes) ? "xw" : "w";
  const tile = swapTile({ rows: m, quads: n / 4, run: run / 4, textures, gated });
  if (!tile) return [];
  const most = Math.ceil(m / 4);
  return [4, 6, 8].filter((tileM) => tileM <= most).map((tileM) => ({ ...tile, tileM, panels: true }));
}

/** CPU adapters without subgroups, as in Firefox. */
function likelyRegisterTiles({ m, n, gated }: ProductShape): Tile[] {
  const widths = [4, 2, 1].filter((tileN4) => n % (4 * tileN4) === 0 && !(gated && tileN4 % 2 === 1));
  return [4, 8]
    .filter((tileM) => tileM <= Math.max(4, m))
    .flatMap((tileM) => widths.map((tileN4): Tile => ({ tileM, tileN4 })));
}

interface SwapProduct {
  rows: number;
  /** Of columns. */
  quads: number;
  /** Quads. */
  run: number;
  textures: Textures;
  gated?: boolean;
}

/** The fastest tiles of SwiftShader: what is carried around the loop costs it 3 ns per number, so that its turns are long. */
export function swapTile(product: SwapProduct): Tile | null {
  const { rows, quads, run, textures, gated = false } = product;
  const sizes = gated ? [4, 2] : [4, 5, 3, 2];
  const tileN4 = sizes.find((size) => quads % (4 * size) === 0);
  if (tileN4 === undefined) return null;
  const step = [4, 2].find((size) => run % size === 0) ?? 1;
  return { by: "swap", lanes: 4, tileM: Math.min(tileN4 > 4 ? 6 : 8, Math.ceil(rows / 4)), tileN4, step, textures };
}

/** Rows that one tile covers. */
const rowsOf = ({ by = "registers", tileM, lanes = 0, down = 0 }: Tile): number =>
  down > 0 ? tileM * down : usesSubgroups({ by }) ? tileM * lanes : Math.max(1, tileM);

/** Rows that must lie together when a dispatch is split, so that tiles are full and quads of the result stay whole. */
export const rowUnit = (tile: Tile): number => rowsOf(tile) * 4;

/** Rows that one dispatch takes: only grids of one line of workgroups are folded. */
export function mostRows(device: Device, tile: Tile): number {
  const { by, tileM, flat, down } = tileVariant(device, tile);
  if (down > 0) return MOST_WORKGROUPS * tileM * down;
  return by === "registers" && !flat ? MOST_WORKGROUPS * tileM * WORKGROUP : Infinity;
}

/** The full variant of a tile on a device. */
export const tileVariant = (device: Device, tile: Tile): TileVariant & { textures: Textures } => ({
  by: "registers",
  flat: device.isSoftware,
  lanes: 0,
  step: 1,
  across: 0,
  down: 0,
  panels: false,
  matrix: null,
  textures: "none",
  buffers: 1,
  unrolled: device.unrollsTurns,
  ...tile,
});

/** How many slices `wanted` are, of a run of `k` numbers: each has whole turns of the tile's loop, and none is empty. */
export function wholeSlices({ step = 1 }: Tile, k: number, wanted: number): number {
  const slice = Math.max(1, Math.ceil(k / 4 / wanted / step)) * step;
  return Math.max(1, Math.ceil(k / 4 / slice));
}

/** Workgroups for `rows` x `columns` of the product; see kernels/tile.ts for what one covers. */
export function tileGrid(device: Device, rows: number, columns: number, tile: Tile, gated = false): [number, number] {
  const { by, tileM, tileN4, flat, lanes, across, down } = tileVariant(device, tile);
  if (by === "plain") return foldedGrid(Math.ceil((rows * columns) / (gated ? 8 : 4) / 64));
  if (down > 0) return [Math.ceil(columns / (4 * tileN4 * across)), Math.ceil(rows / (tileM * down))];
  if (usesSubgroups({ by })) {
    const width = by === "swap" ? 4 * tileN4 * lanes : 4 * tileN4;
    return foldedGrid(Math.ceil(rows / (tileM * lanes)) * Math.ceil(columns / width));
  }
  if (flat)
    return foldedGrid(Math.ceil((Math.ceil(rows / tileM) * Math.ceil(columns / (4 * tileN4))) / FLAT_WORKGROUP));
  return [Math.ceil(columns / (4 * tileN4 * WORKGROUP)), Math.ceil(rows / (tileM * WORKGROUP))];
}
