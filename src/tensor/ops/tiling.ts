/** Which kernel and tile a matmul or a convolution (as a matmul) takes on a device. */
import { FLAT_WORKGROUP, WORKGROUP, type TileVariant } from "../../../kernels/tile.js";
import type { Device } from "../device.js";
import { foldedGrid } from "./common.js";

/** Rows and vec4 columns that one thread computes in registers; `{ tileM: 0 }` is the plain kernel. */
export type Tile = Pick<TileVariant, "tileM" | "tileN4"> & Partial<TileVariant>;

export const PLAIN: Tile = { tileM: 0, tileN4: 0 };

/** The tile for y[m, n] = x[m, k] · w[k, n] (k: input channels of one tap). */
export function chooseTile(device: Device, m: number, n: number, k: number): Tile {
  if (n % 4 !== 0 || k % 4 !== 0) return PLAIN;
  const tileN4 = n % 8 === 0 ? 2 : 1;
  // On CPU adapters other heights would only be further pipelines to compile.
  if (device.isSoftware) return { tileM: 4, tileN4 };
  // Fewer threads than this leave compute units idle; smaller tiles then win.
  const tileM = [8, 4, 2].find((rows) => Math.ceil(m / rows) * (n / (4 * tileN4)) >= 8192) ?? 1;
  return { tileM, tileN4 };
}

/** Rows that must lie together when a dispatch is split, so that quads of the result stay whole. */
export const rowUnit = ({ tileM }: Tile): number => Math.max(1, tileM) * 4;

/** The full variant of a tile on a device. */
export const tileVariant = (device: Device, tile: Tile): TileVariant => ({ flat: device.isSoftware, ...tile });

/** Workgroups for `rows` x `columns` of the result; see kernels/tile.ts for what one covers. */
export function tileGrid(device: Device, rows: number, columns: number, tile: Tile): [number, number] {
  const { tileM, tileN4, flat } = tileVariant(device, tile);
  if (tileM === 0) return foldedGrid(Math.ceil((rows * columns) / 4 / 64));
  if (flat) return foldedGrid(Math.ceil((Math.ceil(rows / tileM) * (columns / (4 * tileN4))) / FLAT_WORKGROUP));
  return [Math.ceil(columns / (4 * tileN4 * WORKGROUP)), Math.ceil(rows / (tileM * WORKGROUP))];
}
