import type { Activation } from "../../../kernels/activation.js";
import { matmul as kernel, type Gate } from "../../../kernels/matmul.wgsl.js";
import { shown } from "../../arguments/shown.js";
import { product } from "../dtype.js";
import { Tensor } from "../tensor.js";
import { expectShape, formatFor, rowRuns } from "./common.js";
import { equalParts } from "./equal_parts.js";
import { mergeSlices } from "./merge_slices.js";
import { weightsOf } from "./panels.js";
import { chooseSlicedTile, mostRows, rowUnit, tileGrid, tileVariant, wholeSlices, type Tile } from "./tiling.js";

export interface MatmulOptions {
  /** [N], added to every row. */
  bias?: Tensor | null;
  /** [..., N], added to the result. */
  residual?: Tensor;
  /** Applied last. */
  activation?: Activation;
  /** Columns are pairs of quads, value and gate (nn's packing "gated"): the result is value * gated(gate), [..., N / 2]. */
  gated?: Gate;
  /** For tests and benchmarks: a tile other than the one chosen by shape. */
  tile?: Tile;
  /** With `tile`: into how many slices the inner axis is cut. */
  slices?: number;
}

/** What the sums of a slice go without; they get it when all are added up. */
const UNFINISHED = { activation: "none", gated: "none", bias: false, residual: false } as const;

/**
 * x · w + bias, then + residual, then the activation; sums in float32.
 * @param x [..., K]
 * @param w [K, N] (a linear layer's weight is packed so at load)
 */
export function matmul(
  x: Tensor,
  w: Tensor,
  { bias, residual, activation = "none", gated = "none", ...options }: MatmulOptions = {},
): Tensor {
  const { device } = x;
  const k = x.shape.at(-1) ?? 0;
  if (w.shape.length !== 2 || w.shape[0] !== k)
    throw new RangeError(`matmul: the inner sizes differ, got [${x.shape.join(", ")}] and [${w.shape.join(", ")}]`);
  const n = w.shape[1];
  const m = product(x.shape.slice(0, -1));
  const pairs = gated !== "none";
  if (pairs && (n % 8 !== 0 || residual))
    throw new RangeError(`matmul: gated takes N % 8 == 0 and no residual, got w [${w.shape.join(", ")}]`);
  const shape = [...x.shape.slice(0, -1), pairs ? n / 2 : n];
  if (bias) expectShape("matmul", "bias", bias, [n]);
  if (residual) expectShape("matmul", "residual", residual, shape);
  const format = formatFor("matmul", x, w, bias, residual);
  const finish = { activation, bias: Boolean(bias), residual: Boolean(residual) };
  const way = options.tile
    ? options
    : device.tunings.wayOf(device, () => ({
        op: "matmul",
        dtype: x.dtype,
        m,
        n,
        k,
        gated,
        finish,
      }));
  const { tile, slices: wanted = 1 } = way?.tile
    ? { tile: way.tile, slices: way.slices }
    : chooseSlicedTile(device, { m, n, k, xBytes: x.bytes, wBytes: w.bytes, gated: pairs, format });
  if (wanted > 1 && (pairs || tile.by === "plain"))
    throw new RangeError(`matmul: slices take a tiled kernel and no gates, got ${gated} and ${shown(tile)}`);
  const slices = wholeSlices(tile, k, wanted);
  const weights = weightsOf(w, tile);
  const y = Tensor.empty(device, shape, x.dtype);
  const parts = equalParts([x, y, ...(residual ? [residual] : [])], m);
  for (const part of parts) {
    const rows = m / parts.length;
    const sums = slices > 1 ? Tensor.empty(device, [slices, rows, n], "float32") : null;
    const added = residual && part(residual);
    const terms = [bias, added].filter((term) => term != null);
    for (const [start, count] of rowRuns(device, rows, 2 * n * k, rowUnit(tile), mostRows(device, tile)))
      device.run({
        kernel,
        variant: {
          format,
          ...tileVariant(device, tile),
          fma: device.fusedMultiplyAdd,
          split: sums !== null,
          ...(sums ? UNFINISHED : { ...finish, gated }),
        },
        values: { m: rows, n, k, slices, row_start: start, row_end: start + count },
        buffers: [part(x), weights, sums ?? part(y), ...(sums ? [] : terms)],
        grid: [...tileGrid(device, count, n, tile, pairs), slices],
        flops: 2 * count * n * k,
      });
    if (sums) mergeSlices(sums, part(y), { format, activation, terms: { bias, residual: added } });
  }
  return y;
}
