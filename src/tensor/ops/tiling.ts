/** Which kernel and tile a matmul or a convolution (as a matmul) takes on a device. */
import { FLAT_WORKGROUP, SHARED_QUADS, SHARED_TILE, WORKGROUP, type TileVariant } from "../../../kernels/tile.js";
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
  /** Of one run of the inner axis: input channels of one tap. */
  k: number;
  xBytes: number;
  wBytes: number;
  /** Columns come in pairs of quads. */
  gated?: boolean;
}

/** The tile for a product. */
export function chooseTile(device: Device, shape: ProductShape): Tile {
  const { n, k, gated = false } = shape;
  if (n % 4 !== 0 || k % 4 !== 0 || (gated && n % 8 !== 0)) return PLAIN;
  if (!device.isSoftware) return hardwareTile(shape);
  if (device.broadcastLanes > 0) return broadcastTile(device, shape) ?? { tileM: 4, tileN4: n % 8 === 0 ? 2 : 1 };
  return device.cheapTextures ? textureTile(shape) : { tileM: 4, tileN4: n % 8 === 0 ? 2 : 1 };
}

function hardwareTile({ m, n, k }: ProductShape): Tile {
  // Fewer workgroups or threads than this leave compute units idle; smaller tiles then win.
  const tiles = (m / SHARED_TILE) * (n / SHARED_TILE);
  if (tiles >= 64 && n % 32 === 0 && k % (4 * SHARED_QUADS) === 0) return { by: "workgroup", tileM: 8, tileN4: 2 };
  const tileN4 = n % 8 === 0 ? 2 : 1;
  const tileM = [8, 4, 2].find((rows) => Math.ceil(m / rows) * (n / (4 * tileN4)) >= 8192) ?? 1;
  return { tileM, tileN4 };
}

/** llvmpipe. Two quads of columns per lane make 128 registers' worth of sums, which is best; three blocks of rows where only one does. */
function broadcastTile(device: Device, { m, n, wBytes, gated }: ProductShape): Tile | null {
  const lanes = device.broadcastLanes;
  const blocks = Math.ceil(m / lanes);
  const by = "broadcast" as const;
  if (n % (8 * lanes) === 0) {
    // A copy of w pays off when many rows use it.
    const textures = m >= 256 && device.cheapTextures && TextureCache.fits(wBytes) ? "w" : "none";
    return { by, lanes, tileM: Math.min(2, blocks), tileN4: 2, textures };
  }
  return n % (4 * lanes) === 0 && !gated ? { by, lanes, tileM: Math.min(3, blocks), tileN4: 1 } : null;
}

/** SwiftShader: big tiles, as many numbers as possible per fetched texel. */
function textureTile({ m, n, xBytes, wBytes }: ProductShape): Tile {
  const tileN4 = n % 16 === 0 ? 4 : n % 8 === 0 ? 2 : 1;
  const threads = (rows: number): number => (Math.ceil(m / rows) * n) / (4 * tileN4);
  if (tileN4 < 4 || m < 16 || threads(16) < FLAT_WORKGROUP) return { tileM: 4, tileN4: Math.min(2, tileN4) };
  const fits = TextureCache.fits(xBytes) && TextureCache.fits(wBytes);
  return { tileM: 16, tileN4, textures: fits ? "xw" : "none" };
}

/** Rows that one tile covers. */
const rowsOf = ({ by, tileM, lanes = 0 }: Tile): number =>
  by === "workgroup" ? SHARED_TILE : by === "broadcast" ? tileM * lanes : Math.max(1, tileM);

/** Rows that must lie together when a dispatch is split, so that tiles are full and quads of the result stay whole. */
export const rowUnit = (tile: Tile): number => rowsOf(tile) * 4;

/** The full variant of a tile on a device. */
export const tileVariant = (device: Device, tile: Tile): TileVariant & { textures: Textures } => ({
  ...{ by: "registers", flat: device.isSoftware, lanes: 0, textures: "none" },
  ...tile,
});

/** Workgroups for `rows` x `columns` of the product; see kernels/tile.ts for what one covers. */
export function tileGrid(device: Device, rows: number, columns: number, tile: Tile, gated = false): [number, number] {
  const { by, tileM, tileN4, flat, lanes } = tileVariant(device, tile);
  if (by === "plain") return foldedGrid(Math.ceil((rows * columns) / (gated ? 8 : 4) / 64));
  if (by === "workgroup") return [Math.ceil(columns / SHARED_TILE), Math.ceil(rows / SHARED_TILE)];
  if (by === "broadcast") return foldedGrid(Math.ceil(rows / (tileM * lanes)) * (columns / (4 * tileN4 * lanes)));
  if (flat) return foldedGrid(Math.ceil((Math.ceil(rows / tileM) * (columns / (4 * tileN4))) / FLAT_WORKGROUP));
  return [Math.ceil(columns / (4 * tileN4 * WORKGROUP)), Math.ceil(rows / (tileM * WORKGROUP))];
}
