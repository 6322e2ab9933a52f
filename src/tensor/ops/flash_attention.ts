/** Attention by the flash kernels: which of them and which tile suits the product and the device. */
import { flashAttention as byThreads, flashSizes, type FlashTile } from "../../../kernels/flash_attention.wgsl.js";
import {
  flashAttentionMatrix as byMatrices,
  flashMatrixSizes,
  type FlashMatrixTile,
  type FlashMatrixVariant,
} from "../../../kernels/flash_attention_matrix.wgsl.js";
import { flashAttentionLanes as byLanes, type FlashLanesTile } from "../../../kernels/flash_attention_lanes.wgsl.js";
import type { Format } from "../../../kernels/wgsl.js";
import type { Device, Run } from "../device.js";
import type { AttentionCall, AttentionShape } from "./attention_operands.js";
import { rowRuns } from "./common.js";

/** The largest head size that the tiles are made for; of larger ones the scores cost less in memory than q in workgroups. */
const MAX_HEAD = 160;
/** The same where lanes share keys, on llvmpipe and on SwiftShader: three passes are as fast with larger ones. */
const MAX_LANES_HEAD = { broadcast: 80, swap: 32 };
/** Work from which its fastest tile is worth half a second more of compiling. */
const LONG = 5e8;
/** Workgroups that keep every core of a large GPU busy. */
const BUSY = 128;

export type AnyFlashTile = FlashTile | FlashMatrixTile | FlashLanesTile;

/** Whether a device has a flash kernel for heads of this size that beats three passes. */
export function canFlash({ isSoftware, broadcastLanes, quadSwaps }: Device, headSize: number): boolean {
  const most = !isSoftware ? MAX_HEAD : broadcastLanes > 0 ? MAX_LANES_HEAD.broadcast : MAX_LANES_HEAD.swap;
  return headSize % 4 === 0 && headSize <= most && (!isSoftware || broadcastLanes > 0 || quadSwaps);
}

type Slots = Pick<AttentionShape, "queries" | "keys" | "headSize"> & { slots: number };
type Capable = Pick<Device, "limits" | "productUnits">;

/** @param tile for tests: another than the one chosen by shape */
export function flashAttention(
  { device, format, tensors, places, y }: AttentionCall,
  { batch, queries, keys, headSize, heads, causal, scale }: AttentionShape,
  tile?: AnyFlashTile,
): void {
  const slots = batch * heads;
  const sizes = { queries, keys, headSize, slots };
  const chosen = tile ?? (device.isSoftware ? lanesTile(device, format, sizes) : flashTile(device, format, sizes));
  const flopsPerQuery = 4 * slots * keys * headSize;
  const run = <V>(perGroup: number, work: Pick<Run<V>, "kernel" | "variant">, own: Record<string, number>): void => {
    for (const [start, count] of rowRuns(device, queries, flopsPerQuery, perGroup))
      device.run({
        ...work,
        values: { heads, queries, keys, causal: causal ? 1 : 0, start, end: start + count, scale, ...places, ...own },
        buffers: [...tensors, y],
        grid: [Math.ceil(count / perGroup), slots],
        flops: flopsPerQuery * count,
      });
  };
  if ("blocks" in chosen) {
    const variant = matrixVariant(device, headSize, chosen);
    run(flashMatrixSizes(variant).queries, { kernel: byMatrices, variant }, {});
  } else if ("lanes" in chosen) {
    const variant = { format, headSize, fma: device.fusedMultiplyAdd, ...chosen };
    run(chosen.lanes * chosen.rows, { kernel: byLanes, variant }, {});
  } else {
    const variant = { format, headSize, fma: device.fusedMultiplyAdd, ...chosen };
    const { queries: perGroup, parts } = flashSizes(chosen, headSize);
    run(perGroup, { kernel: byThreads, variant }, { parts });
  }
}

function lanesTile({ streamLanes: lanes, quadSwaps }: Device, format: Format, shape: Slots): FlashLanesTile {
  const { queries, keys, headSize, slots } = shape;
  const flops = 4 * slots * queries * keys * headSize;
  const tile = (rows: number, keys: number): FlashLanesTile => ({
    lanes,
    keys,
    rows: Math.min(rows, Math.ceil(queries / lanes)),
  });
  if (quadSwaps) return tile(4, 2);
  // Measured on llvmpipe, whose turns must not become too long a text: 1.2 to 1.4 times as fast as with the next one.
  const most = format === "f32" ? 32 : 48;
  const [rows, perTurn] = headSize <= most ? [4, 2] : headSize <= 48 ? [6, 1] : [4, 1];
  // More rows take longer to compile.
  return tile(flops >= LONG ? rows : flops >= LONG / 10 ? 2 : 1, perTurn);
}

function matrixVariant(
  { productUnits }: Pick<Device, "productUnits">,
  headSize: number,
  tile: FlashMatrixTile,
): FlashMatrixVariant {
  const { matrix, lanes } = productUnits;
  if (!matrix) throw new Error("flash attention: a tile of matrices, got a device without them");
  return { headSize, matrix, lanes, ...tile };
}

interface LaneTile {
  rows: number;
  keys: number;
  threads: number;
}
/** Tiles from the one with most arithmetic per load to the one with most workgroups; measured on an H100. */
const TILES: readonly LaneTile[] = [
  { rows: 4, keys: 8, threads: 128 },
  { rows: 4, keys: 4, threads: 128 },
  { rows: 4, keys: 2, threads: 96 },
  { rows: 4, keys: 2, threads: 64 },
];
/** Fits into 16 KiB, which every device has. */
const SMALLEST: LaneTile = { rows: 4, keys: 1, threads: 32 };

/** The same for matrices of 16 x 16; smaller ones give smaller tiles. */
const MATRIX_TILES: readonly FlashMatrixTile[] = [
  { subgroups: 8, blocks: 1, keys: 32 },
  { subgroups: 4, blocks: 1, keys: 32 },
  { subgroups: 2, blocks: 1, keys: 32 },
  { subgroups: 1, blocks: 1, keys: 16 },
];
/** Up to so many keys, those of a prompt, a tile of few is done sooner: less of the last one is empty. */
const FEW_KEYS = 128;
const FEW_KEYS_TILES = [4, 2, 1].map((subgroups): FlashMatrixTile => ({ subgroups, blocks: 1, keys: 16 }));

/** What a device can hold in its workgroups, from the tile with most arithmetic per load on: first of matrices, where it has them. */
function* fittingTiles(
  { limits, productUnits }: Capable,
  format: Format,
  { keys, headSize }: Slots,
): Generator<{ tile: FlashTile | FlashMatrixTile; queries: number }[]> {
  const { maxComputeWorkgroupStorageSize: memory, maxComputeInvocationsPerWorkgroup: most } = limits;
  type Sizes = Record<"bytes" | "threads" | "queries", number>;
  const fitting = <T>(tiles: readonly T[], sizes: (tile: T) => Sizes): ({ tile: T } & Sizes)[] =>
    tiles.map((tile) => ({ tile, ...sizes(tile) })).filter(({ bytes, threads }) => bytes <= memory && threads <= most);
  const { matrix, lanes } = productUnits;
  if (matrix && format === "f16" && lanes % matrix.m === 0) {
    const tiles = keys <= FEW_KEYS ? FEW_KEYS_TILES : MATRIX_TILES;
    yield fitting(tiles, (each) => flashMatrixSizes(matrixVariant({ productUnits }, headSize, each)));
  }
  const tiles = TILES.map((tile) => laneTile(tile, headSize));
  yield fitting(tiles, (each) => flashSizes(each, headSize));
}

function laneTile({ threads, ...sizes }: LaneTile, headSize: number): FlashTile {
  const parts = headSize / 4;
  const columns = parts > 20 ? 4 : Math.min(parts, 2);
  const across = Math.ceil(parts / columns);
  return { ...sizes, columns, groups: Math.max(1, Math.floor(threads / across)) };
}

/** The first tile that fits into the device's workgroup memory and keeps it busy, or else the last that fits. */
export function flashTile(device: Capable, format: Format, shape: Slots): FlashTile | FlashMatrixTile {
  const { queries, headSize, slots } = shape;
  for (const tiles of fittingTiles(device, format, shape)) {
    const chosen = tiles.find((each) => slots * Math.ceil(queries / each.queries) >= BUSY) ?? tiles.at(-1);
    if (chosen) return chosen.tile;
  }
  return laneTile(SMALLEST, headSize);
}

/** Tiles among which the fastest on this very device should be; none where it has no flash kernel for the head. */
export function likelyFlashTiles(device: Device, format: Format, shape: Slots): AnyFlashTile[] {
  if (!canFlash(device, shape.headSize)) return [];
  if (!device.isSoftware) return [...fittingTiles(device, format, shape)].flat().map(({ tile }) => tile);
  const most = Math.ceil(shape.queries / device.streamLanes);
  return [2, 4, 6]
    .flatMap((rows) => [1, 2].map((keys) => ({ lanes: device.streamLanes, rows, keys })))
    .filter(({ rows }) => rows <= most);
}
