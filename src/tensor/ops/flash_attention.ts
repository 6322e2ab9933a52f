/** Attention by the flash kernel, for GPUs: which tile suits the product and the device. */
import { flashAttention as kernel, flashSizes, type FlashTile } from "../../../kernels/flash_attention.wgsl.js";
import type { Device } from "../device.js";
import { Tensor } from "../tensor.js";
import type { AttentionOperands, AttentionShape } from "./attention_operands.js";
import { rowRuns } from "./common.js";

/** The largest head size that the tiles are made for; of larger ones the scores cost less in memory than q in workgroups. */
export const MAX_FLASH_HEAD = 160;
/** Workgroups that keep every core of a large GPU busy. */
const BUSY = 256;

/** @param tile for tests: another than the one chosen by shape */
export function flashAttention(
  { device, format, tensors, places }: AttentionOperands,
  { batch, queries, keys, headSize, heads, causal, scale }: AttentionShape,
  tile?: FlashTile,
): Tensor {
  const slots = batch * heads;
  const chosen = tile ?? flashTile(device, headSize, queries, slots);
  const { queries: perGroup, parts } = flashSizes(chosen, headSize);
  const y = Tensor.empty(device, [batch, queries, heads * headSize], tensors[0].dtype);
  const flopsPerQuery = 4 * slots * keys * headSize;
  for (const [start, count] of rowRuns(device, queries, flopsPerQuery, perGroup))
    device.run({
      kernel,
      variant: { format, headSize, fma: device.fusedMultiplyAdd, ...chosen },
      values: { heads, parts, queries, keys, causal: causal ? 1 : 0, start, end: start + count, scale, ...places },
      buffers: [...tensors, y],
      grid: [Math.ceil(count / perGroup), slots],
      flops: flopsPerQuery * count,
    });
  return y;
}

/** Tiles from the one with most arithmetic per load to the one for the least memory. */
const TILES: readonly { rows: number; keys: number; threads: number }[] = [
  { rows: 8, keys: 8, threads: 64 },
  { rows: 4, keys: 8, threads: 128 },
  { rows: 4, keys: 4, threads: 128 },
  { rows: 4, keys: 4, threads: 64 },
  { rows: 4, keys: 2, threads: 64 },
  { rows: 4, keys: 1, threads: 32 },
];

/** The first tile that fits into the device's workgroup memory and keeps it busy, or else the last that fits. */
export function flashTile(
  { limits }: Pick<Device, "limits">,
  headSize: number,
  queries: number,
  slots: number,
): FlashTile {
  const parts = headSize / 4;
  const columns = parts > 20 ? 4 : Math.min(parts, 2);
  const across = Math.ceil(parts / columns);
  const fitting = TILES.map(({ rows, keys, threads }) => ({
    ...{ rows, keys, columns },
    groups: Math.max(1, Math.floor(threads / across)),
  })).filter((tile) => flashSizes(tile, headSize).bytes <= limits.maxComputeWorkgroupStorageSize);
  const busy = (tile: FlashTile): boolean => slots * Math.ceil(queries / flashSizes(tile, headSize).queries) >= BUSY;
  return fitting.find(busy) ?? fitting.at(-1)!;
}
