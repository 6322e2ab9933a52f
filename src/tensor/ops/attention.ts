import { attention as kernel, WORKGROUP_SIZE } from "../../../kernels/attention.wgsl.js";
import { attentionScores, attentionValues, type AttentionTile } from "../../../kernels/attention_scores.wgsl.js";
import { softmax, WORKGROUP_SIZE as SOFTMAX_SIZE } from "../../../kernels/softmax.wgsl.js";
import type { Format, Kernel, Textures } from "../../../kernels/wgsl.js";
import { placeOf, type Operand } from "../columns.js";
import type { Device } from "../device.js";
import { Tensor } from "../tensor.js";
import { foldedGrid, formatFor, quadsOf, rowRuns } from "./common.js";
import { LONG, swapTile, tileGrid, tileVariant, type Tile } from "./tiling.js";

export interface AttentionOptions {
  heads: number;
  /** Query i sees keys 0 to i only. */
  causal?: boolean;
  /** Defaults to 1 / sqrt(head size). */
  scale?: number;
  /** For tests: a way other than the one chosen by shape. */
  by?: "plain" | "flash" | "scores";
  /** For tests: the tile of both products of "scores". */
  tile?: Tile;
}

/** Up to this head size a thread can hold a query and its result in registers. */
const MAX_FLASH_HEAD = 160;
/** Queries that one pass takes at least, and multiples of it. */
const ROWS = 32;
/** Scores in memory at a time, at most (16 MiB of them, and as much of weights). */
export const CHUNK_SCORES = 2 ** 22;

/**
 * torch.nn.functional.scaled_dot_product_attention of several heads side by side; the full score matrix is never in memory.
 * Operands may be columns of wider matrices, which are read in place.
 * @param q [batch, queries, heads * d]
 * @param k [batch, keys, heads * d]
 * @param v [batch, keys, heads * d]
 * @returns [batch, queries, heads * d]
 */
export function attention(q: Operand, k: Operand, v: Operand, options: AttentionOptions): Tensor {
  const { heads, causal = false } = options;
  const [batch, queries, width] = q.shape;
  const keys = k.shape[1];
  const same = k.shape[0] === batch && k.shape[2] === width && v.shape.join() === k.shape.join();
  if (q.shape.length !== 3 || !same || width % heads !== 0 || keys === 0)
    throw new RangeError(
      `attention: takes q, k, v [batch, tokens, heads * d] with ${heads} heads, got [${q.shape.join(", ")}], [${k.shape.join(", ")}] and [${v.shape.join(", ")}]`,
    );
  const headSize = width / heads;
  const scale = options.scale ?? 1 / Math.sqrt(headSize);
  const aligned = headSize % 4 === 0;
  const operands = attentionOperands("attention", q, k, v);
  const { device, format, tensors } = operands;
  const mayFlash = aligned && headSize <= MAX_FLASH_HEAD && !device.isSoftware;
  const by = options.by ?? (device.plainKernels || !aligned ? "plain" : mayFlash ? "flash" : "scores");
  if (by === "scores")
    return byScores(operands, { batch, queries, keys, headSize, heads, causal, scale, tile: options.tile });

  const y = Tensor.empty(device, q.shape, tensors[0].dtype);
  const common = {
    ...{ heads, head_size: headSize, queries, keys, causal: causal ? 1 : 0, size: y.size, scale },
    ...operands.places,
  };
  const run = (flashHead: number, start: number, end: number, grid: number[], flops: number): void =>
    device.run({
      kernel,
      variant: { format, headSize: flashHead, fma: device.fusedMultiplyAdd },
      values: { ...common, start, end },
      buffers: [...tensors, y],
      grid,
      flops,
    });
  if (by === "plain") {
    // Each element of a quad computes all its scores anew.
    const flopsPerQuad = 8 * keys * (headSize + 1);
    for (const [start, count] of rowRuns(device, quadsOf(y), flopsPerQuad, WORKGROUP_SIZE))
      run(0, start, start + count, foldedGrid(Math.ceil(count / WORKGROUP_SIZE)), flopsPerQuad * count);
    return y;
  }
  const flopsPerQuery = 4 * batch * keys * width;
  for (const [start, count] of rowRuns(device, queries, flopsPerQuery, WORKGROUP_SIZE))
    run(headSize, start, start + count, [Math.ceil(count / WORKGROUP_SIZE), batch * heads], flopsPerQuery * count);
  return y;
}

interface AttentionOperands {
  device: Device;
  format: Format;
  /** Of q, k and v; where they are columns of one tensor, that tensor again and again. */
  tensors: readonly [q: Tensor, k: Tensor, v: Tensor];
  /** The params that say where in them their tokens lie. */
  places: Readonly<Record<`${"q" | "k" | "v"}_${"stride" | "start"}`, number>>;
}

/** What the kernels of attention bind for q, k and v. @param op for errors */
export function attentionOperands(op: string, ...operands: [q: Operand, k: Operand, v: Operand]): AttentionOperands {
  const [q, k, v] = operands.map(placeOf);
  return {
    device: q.tensor.device,
    format: formatFor(op, q.tensor, k.tensor, v.tensor),
    tensors: [q.tensor, k.tensor, v.tensor],
    places: {
      ...{ q_stride: q.stride, q_start: q.start, k_stride: k.stride, k_start: k.start },
      ...{ v_stride: v.stride, v_start: v.start },
    },
  };
}

interface AttentionShape {
  batch: number;
  queries: number;
  keys: number;
  headSize: number;
  heads: number;
  causal: boolean;
  scale: number;
  tile?: Tile;
}

/** The three passes of kernels/attention_scores.wgsl.ts, for as many queries at a time as their scores may take memory. */
function byScores(
  { device, format, tensors: [q, k, v], places }: AttentionOperands,
  { batch, queries, keys, headSize, heads, causal, scale, tile }: AttentionShape,
): Tensor {
  const width = Math.ceil(keys / 4) * 4;
  const slots = batch * heads;
  const y = Tensor.empty(device, [batch, queries, heads * headSize], q.dtype);
  const flopsPerQuery = 2 * slots * keys * headSize;
  const byBudget = Math.floor(device.flopsBudget / flopsPerQuery);
  const most = Math.max(ROWS, Math.floor(Math.min(byBudget, CHUNK_SCORES / (slots * width)) / ROWS) * ROWS);
  const tiles = tile
    ? { scores: tile, values: tile }
    : attentionTiles(device, { flops: flopsPerQuery * queries, headSize, keys, queries });
  for (let first = 0; first < queries; first += most)
    device.scope(() => {
      const count = Math.min(most, queries - first);
      const values = {
        ...{ heads, head_size: headSize, queries, keys, width, first, count, row_start: 0, row_end: count },
        ...places,
      };
      const flops = flopsPerQuery * count;
      const pass = (kernel: Kernel<AttentionTile>, tile: Tile, columns: number, buffers: Tensor[]): void => {
        const variant = { format, fma: device.fusedMultiplyAdd, ...tileVariant(device, tile), flat: true };
        const [x, folds] = tileGrid(device, count, columns, { ...tile, flat: true });
        device.run({ kernel, variant, values, buffers, grid: [x, folds, slots], flops });
      };
      const scores = Tensor.empty(device, [slots, count, width], "float32");
      const weights = Tensor.empty(device, [slots, count, width + 4], "float32");
      pass(attentionScores, tiles.scores, width, [q, k, scores]);
      const rows = slots * count;
      device.run({
        kernel: softmax,
        variant: { format: "f32" },
        values: { rows, width, valid: keys, first: causal ? first + 1 : keys, period: count, scale },
        buffers: [scores, weights],
        grid: [Math.ceil(rows / SOFTMAX_SIZE)],
      });
      pass(attentionValues, tiles.values, headSize, [weights, v, y]);
    });
  return y;
}

/** Tiles of the two products, by what suits the adapter (see tiling.ts) and what divides the head and fits the keys. */
function attentionTiles(
  { broadcastLanes: lanes, cheapTextures, quadSwaps }: Device,
  { flops, headSize, keys, queries }: { flops: number; headSize: number; keys: number; queries: number },
): { scores: Tile; values: Tile } {
  const parts = headSize / 4;
  const quads = Math.ceil(keys / 4);
  const long = flops >= LONG / (lanes > 0 ? 4 : 10);
  const most = (sizes: readonly number[], quadsOfRow: number): number =>
    sizes.find((size) => quadsOfRow % size === 0) ?? Math.min(sizes.at(-1)!, quadsOfRow);
  if (lanes > 0) {
    const tile = { by: "broadcast" as const, lanes, tileM: Math.min(long ? 4 : 2, Math.ceil(queries / lanes)) };
    const sizes = long ? [10, 8, 7, 6, 5, 4] : [4, 2, 1];
    return { scores: { ...tile, tileN4: most(sizes, quads) }, values: { ...tile, tileN4: most(sizes, parts) } };
  }
  if (quadSwaps) {
    const swap = (columns: number, run: number, textures: Textures): Tile => {
      const tile = { by: "swap" as const, lanes: 4, step: run % 2 === 0 ? 2 : 1, textures };
      if (!long) return { ...tile, tileM: Math.min(2, Math.ceil(queries / 4)), tileN4: 1, textures: "none" };
      const whole = swapTile({ rows: queries, quads: columns, run, textures });
      return whole ?? { ...tile, tileM: Math.min(8, Math.ceil(queries / 4)), tileN4: Math.min(3, columns) };
    };
    return { scores: swap(quads, parts, "xw"), values: swap(parts, quads, "w") };
  }
  if (!long || !cheapTextures)
    return { scores: { tileM: 4, tileN4: 1 }, values: { tileM: 4, tileN4: parts % 2 === 0 ? 2 : 1 } };
  return {
    scores: { tileM: 16, tileN4: 2, textures: "xw" },
    values: { tileM: 16, tileN4: most([5, 4, 3, 2, 1], parts), textures: "w" },
  };
}
