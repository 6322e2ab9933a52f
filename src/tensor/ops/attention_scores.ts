/** Attention in three passes, for CPU adapters and large heads. */
import { attentionScores, attentionValues, type AttentionTile } from "../../../kernels/attention_scores.wgsl.js";
import type { Kernel, Textures } from "../../../kernels/wgsl.js";
import type { Device } from "../device.js";
import type { Region } from "../part.js";
import { Tensor } from "../tensor.js";
import type { AttentionCall, AttentionShape } from "./attention_operands.js";
import { softmax } from "./softmax.js";
import { LONG, swapTile, tileGrid, tileVariant, type Tile } from "./tiling.js";
import { WORKGROUP_TILE } from "./tiling_hardware.js";

/** Queries that one pass takes at least, where a binding holds their scores, and multiples of it. */
const ROWS = 32;
/** Scores in memory at a time, at most (16 MiB of them, and as much of weights). */
export const CHUNK_SCORES = 2 ** 22;

/** The three passes of kernels/attention_scores.wgsl.ts, for as many queries at a time as their scores may take memory. */
export function attentionByScores(
  { device, format, tensors: [q, k, v], places, y }: AttentionCall,
  { batch, queries, keys, headSize, heads, causal, scale }: AttentionShape,
  tile?: Tile,
): void {
  const width = Math.ceil(keys / 4) * 4;
  const slots = batch * heads;
  const flopsPerQuery = 2 * slots * keys * headSize;
  const byBudget = Math.floor(device.flopsBudget / flopsPerQuery);
  const bound = Math.floor(device.limits.maxStorageBufferBindingSize / (4 * slots * (width + 4)));
  const few = Math.min(byBudget, CHUNK_SCORES / (slots * width), bound);
  // Many images with many keys have too many scores for as many rows in one binding.
  const most = Math.max(1, Math.min(ROWS, bound), Math.floor(few / ROWS) * ROWS);
  const tiles = tile
    ? { scores: tile, values: tile }
    : attentionTiles(device, { flops: flopsPerQuery * queries, headSize, keys, queries });
  for (let first = 0; first < queries; first += most)
    device.scope(() => {
      const count = Math.min(most, queries - first);
      const values = {
        heads,
        head_size: headSize,
        queries,
        keys,
        width,
        first,
        count,
        row_start: 0,
        row_end: count,
        ...places,
      };
      const flops = flopsPerQuery * count;
      const pass = (kernel: Kernel<AttentionTile>, tile: Tile, columns: number, buffers: Region[]): void => {
        const variant = {
          format,
          fma: device.fusedMultiplyAdd,
          ...tileVariant(device, tile),
          flat: true,
          panels: false,
        };
        const [x, folds] = tileGrid(device, count, columns, { ...tile, flat: true });
        device.run({ kernel, variant, values, buffers, grid: [x, folds, slots], flops });
      };
      const scores = Tensor.empty(device, [slots, count, width], "float32");
      const weights = Tensor.empty(device, [slots, count, width + 4], "float32");
      pass(attentionScores, tiles.scores, width, [q, k, scores]);
      softmax(scores, weights, { valid: keys, first: causal ? first + 1 : keys, period: count, scale });
      pass(attentionValues, tiles.values, headSize, [weights, v, y]);
    });
}

/** Tiles of the two products, by what suits the adapter (see tiling.ts) and what divides the head and fits the keys. */
function attentionTiles(
  { isSoftware, broadcastLanes: lanes, cheapTextures, quadSwaps }: Device,
  { flops, headSize, keys, queries }: { flops: number; headSize: number; keys: number; queries: number },
): { scores: Tile; values: Tile } {
  const parts = headSize / 4;
  const quads = Math.ceil(keys / 4);
  const long = flops >= LONG / (lanes > 0 ? 4 : 10);
  const most = (sizes: readonly number[], quadsOfRow: number): number =>
    sizes.find((size) => quadsOfRow % size === 0) ?? Math.min(sizes.at(-1)!, quadsOfRow);
  if (!isSoftware) {
    const small = { tileM: 4, tileN4: 1 };
    const tile = (run: number): Tile => (run % WORKGROUP_TILE.step === 0 ? WORKGROUP_TILE : small);
    return { scores: tile(parts), values: tile(quads) };
  }
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
    // A tile that is wider than the scores would store into the next row.
    scores: { tileM: 16, tileN4: Math.min(2, quads), textures: "xw" },
    values: { tileM: 16, tileN4: most([5, 4, 3, 2, 1], parts), textures: "w" },
  };
}
