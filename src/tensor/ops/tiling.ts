/** Which kernel and tile a matmul or a convolution (as a matmul) takes on a device. */
import { FLAT_WORKGROUP, SHARED_QUADS, SHARED_TILE, WORKGROUP } from "../../../kernels/tile.js";
import { usesSubgroups, type TileVariant } from "../../../kernels/tile_parts.js";
import type { Textures } from "../../../kernels/wgsl.js";
import type { Device } from "../device.js";
import { TextureCache } from "../texture_cache.js";
import { foldedGrid } from "./common.js";

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
}

/** A tile, and into how many slices the inner axis is cut for it; threads then add up one each (split-K). */
export interface SlicedTile {
  tile: Tile;
  slices: number;
}

/** The tile for a product whose inner axis may be cut. CPU adapters have few threads to fill, and pairs are not merged. */
export function chooseSlicedTile(device: Device, shape: ProductShape): SlicedTile {
  if (device.isSoftware || shape.gated || !hasTiles(device, shape))
    return { tile: chooseTile(device, shape), slices: 1 };
  return hardwareTile(shape, Math.max(1, Math.floor(shape.k / SLICE)));
}

/** The tile for a product whose inner axis stays whole. */
export function chooseTile(device: Device, shape: ProductShape): Tile {
  const { n } = shape;
  if (!hasTiles(device, shape)) return PLAIN;
  if (!device.isSoftware) return hardwareTile(shape, 1).tile;
  if (device.broadcastLanes > 0) return broadcastTile(device, shape) ?? smallTile(n);
  return swiftShaderTile(device, shape) ?? smallTile(n);
}

/** Whether any kernel but the plain one takes it: those load and store whole quads, or pairs of them. */
const hasTiles = ({ plainKernels }: Device, { n, k, run = k, gated = false }: ProductShape): boolean =>
  !plainKernels && n % (gated ? 8 : 4) === 0 && run % 4 === 0;

/** What any adapter compiles fast. */
const smallTile = (n: number): Tile => ({ tileM: 4, tileN4: n % 8 === 0 ? 2 : 1 });

/** Fewer workgroups or threads than this leave a GPU's compute units idle. */
const FILLED = { tiles: 64, threads: 8192 };
/** What a slice keeps of the inner axis at least: each writes sums that have to be read again. */
const SLICE = 128;

/** The largest tile of which a GPU gets enough, with as few of the `most` slices as that takes; smaller ones load more. */
function hardwareTile({ m, n, k, run = k, gated = false }: ProductShape, most: number): SlicedTile {
  const slices = Math.ceil(FILLED.tiles / ((m / SHARED_TILE) * (n / SHARED_TILE)));
  // Few rows would fill little of such a tile, in every slice.
  const shared = slices <= (m < SHARED_TILE ? 1 : most) && n % 32 === 0 && run % (4 * SHARED_QUADS) === 0;
  if (shared) return { tile: { by: "workgroup", tileM: 8, tileN4: 2 }, slices };
  const tiles = [8, 4, 2, 1].map((tileM): Tile => ({ tileM, tileN4: n % 8 === 0 ? 2 : 1 }));
  if (!gated) tiles.push({ tileM: 1, tileN4: 1 });
  const threads = ({ tileM, tileN4 }: Tile): number => Math.ceil(m / tileM) * (n / (4 * tileN4));
  const tile = tiles.find((each) => threads(each) * most >= FILLED.threads) ?? tiles[tiles.length - 1];
  // Of squares, a few rows would fill some lines only.
  const flat = Math.ceil(m / tile.tileM) < WORKGROUP;
  return { tile: { ...tile, flat }, slices: Math.min(most, Math.ceil(FILLED.threads / threads(tile))) };
}

/** Work from which a faster kernel is worth the second or so that CPU adapters take to compile it. */
export const LONG = 5e8;

/** llvmpipe. 32 x 32 sums are among the fastest (24 x 32 with the taps of a kernel), and 16 x 16 compile in a third of the time. */
function broadcastTile(device: Device, { m, n, k, run = k }: ProductShape): Tile | null {
  const lanes = device.broadcastLanes;
  const by = "broadcast" as const;
  const blocks = Math.ceil(m / lanes);
  if (2 * m * n * k >= LONG && n % 32 === 0) return { by, lanes, tileM: Math.min(run < k ? 3 : 4, blocks), tileN4: 8 };
  return n >= 16 ? { by, lanes, tileM: Math.min(2, blocks), tileN4: n % 16 === 0 ? 4 : 2 } : null;
}

/**
 * SwiftShader: big tiles, as many numbers as possible per fetched texel, where the work is worth a copy of x in a texture and half
 * a second of compiling. Its subgroups have four lanes.
 */
function swiftShaderTile(device: Device, { m, n, k, run = k, xBytes, wBytes, gated }: ProductShape): Tile | null {
  const { cheapTextures, quadSwaps } = device;
  const fits = cheapTextures && TextureCache.fits(wBytes);
  const long = 2 * m * n * k >= LONG / 5 && fits && TextureCache.fits(xBytes);
  if (long && quadSwaps && m >= 32) {
    const tile = swapTile({ rows: m, quads: n / 4, run: run / 4, textures: "xw", gated });
    if (tile) return tile;
  }
  if (long && n % 16 === 0) return { tileM: 16, tileN4: 4, textures: "xw" };
  if (!quadSwaps || n < 16) return null;
  const tile = { tileM: Math.min(2, Math.ceil(m / 4)), tileN4: gated ? 2 : 1 };
  return { by: "swap", lanes: 4, ...tile, step: 1, textures: fits ? "w" : "none" };
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
const rowsOf = ({ by = "registers", tileM, lanes = 0 }: Tile): number =>
  by === "workgroup" ? SHARED_TILE : usesSubgroups({ by }) ? tileM * lanes : Math.max(1, tileM);

/** Rows that must lie together when a dispatch is split, so that tiles are full and quads of the result stay whole. */
export const rowUnit = (tile: Tile): number => rowsOf(tile) * 4;

/** The full variant of a tile on a device. */
export const tileVariant = (device: Device, tile: Tile): TileVariant & { textures: Textures } => ({
  ...{ by: "registers", flat: device.isSoftware, lanes: 0, step: 1, textures: "none" },
  ...tile,
});

/** Quads of the inner axis in a slice, whole turns of the tile's loop; the last slice may be shorter. */
export function sliceQuads({ by, step = 1 }: Tile, k: number, slices: number): number {
  const turn = by === "workgroup" ? SHARED_QUADS : step;
  return Math.max(1, Math.ceil(k / 4 / slices / turn)) * turn;
}

/** Workgroups for `rows` x `columns` of the product; see kernels/tile.ts for what one covers. */
export function tileGrid(device: Device, rows: number, columns: number, tile: Tile, gated = false): [number, number] {
  const { by, tileM, tileN4, flat, lanes } = tileVariant(device, tile);
  if (by === "plain") return foldedGrid(Math.ceil((rows * columns) / (gated ? 8 : 4) / 64));
  if (by === "workgroup") return [Math.ceil(columns / SHARED_TILE), Math.ceil(rows / SHARED_TILE)];
  if (usesSubgroups({ by })) {
    const across = by === "swap" ? 4 * tileN4 * lanes : 4 * tileN4;
    return foldedGrid(Math.ceil(rows / (tileM * lanes)) * Math.ceil(columns / across));
  }
  if (flat)
    return foldedGrid(Math.ceil((Math.ceil(rows / tileM) * Math.ceil(columns / (4 * tileN4))) / FLAT_WORKGROUP));
  return [Math.ceil(columns / (4 * tileN4 * WORKGROUP)), Math.ceil(rows / (tileM * WORKGROUP))];
}
