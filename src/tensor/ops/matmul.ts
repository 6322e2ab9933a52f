import type { Activation } from "../../../kernels/activation.js";
import { matmul as kernel } from "../../../kernels/matmul.wgsl.js";
import { FLAT_WORKGROUP, WORKGROUP, type TileVariant } from "../../../kernels/tile.js";
import type { Device } from "../device.js";
import { product } from "../dtype.js";
import { Tensor } from "../tensor.js";
import { expectShape, foldedGrid, formatFor, rowRuns } from "./common.js";

export interface MatmulOptions {
  /** [N], added to every row. */
  bias?: Tensor | null;
  /** [..., N], added to the result. */
  residual?: Tensor;
  /** Applied last. */
  activation?: Activation;
  /** For tests and benchmarks: a tile other than the one chosen by shape. `{ tileM: 0 }` is the plain kernel. */
  tile?: Tile;
}

/** Rows and vec4 columns that one thread computes. */
export type Tile = Pick<TileVariant, "tileM" | "tileN4"> & Partial<TileVariant>;

export const PLAIN: Tile = { tileM: 0, tileN4: 0 };

/** The register tile for a product of these sizes: the largest that divides N and still fills the device. */
export function chooseTile(device: Device, m: number, n: number, k: number): Tile {
  if (n % 4 !== 0 || k % 4 !== 0) return PLAIN;
  const tileN4 = n % 8 === 0 ? 2 : 1;
  // CPU adapters: SwiftShader compiles taller tiles for half a minute and lavapipe runs them slower; smaller ones would
  // be further pipelines to compile for little gain.
  if (device.isSoftware) return { tileM: 4, tileN4 };
  // Fewer threads than this leave compute units idle; smaller tiles then win.
  const tileM = [8, 4, 2].find((rows) => Math.ceil(m / rows) * (n / (4 * tileN4)) >= 8192) ?? 1;
  return { tileM, tileN4 };
}

/**
 * x · w + bias, then + residual, then the activation; sums in float32.
 * @param x [..., K]
 * @param w [K, N] (a linear layer's weight is packed so at load)
 */
export function matmul(x: Tensor, w: Tensor, { bias, residual, activation = "none", tile }: MatmulOptions = {}): Tensor {
  const { device } = x;
  const k = x.shape.at(-1) ?? 0;
  if (w.shape.length !== 2 || w.shape[0] !== k)
    throw new RangeError(`matmul: the inner sizes differ, got [${x.shape.join(", ")}] and [${w.shape.join(", ")}]`);
  const n = w.shape[1];
  const m = product(x.shape.slice(0, -1));
  const shape = [...x.shape.slice(0, -1), n];
  if (bias) expectShape("matmul", "bias", bias, [n]);
  if (residual) expectShape("matmul", "residual", residual, shape);
  const format = formatFor("matmul", x, w, bias, residual);
  const y = Tensor.empty(device, shape, x.dtype);
  const tiling = tileVariant(device, tile ?? chooseTile(device, m, n, k));
  for (const [start, count] of rowRuns(device, m, 2 * n * k, Math.max(1, tiling.tileM) * 4)) {
    device.run({
      kernel,
      variant: { format, ...tiling, fma: device.fusedMultiplyAdd, activation },
      values: {
        ...{ m, n, k, row_start: start, row_end: start + count },
        ...{ has_bias: bias ? 1 : 0, has_residual: residual ? 1 : 0 },
      },
      buffers: [x, w, bias ?? x, residual ?? x, y],
      grid: tileGrid(count, n, tiling),
      flops: 2 * count * n * k,
    });
  }
  return y;
}

/** The full variant of a tile on a device. */
export const tileVariant = (device: Device, tile: Tile): TileVariant => ({ flat: device.isSoftware, ...tile });

/** Workgroups for `rows` x `columns` of the result; see kernels/tile.ts for what one covers. */
export function tileGrid(rows: number, columns: number, { tileM, tileN4, flat }: TileVariant): [number, number] {
  if (tileM === 0) return foldedGrid(Math.ceil((rows * columns) / 4 / 64));
  if (flat) return foldedGrid(Math.ceil((Math.ceil(rows / tileM) * (columns / (4 * tileN4))) / FLAT_WORKGROUP));
  return [Math.ceil(columns / (4 * tileN4 * WORKGROUP)), Math.ceil(rows / (tileM * WORKGROUP))];
}
