/** Launches the group norm kernels of GPUs, and chooses their sizes. */
import { MOST, type BlockVariant } from "../../../kernels/group_norm_block.js";
import { momentsBytes } from "../../../kernels/group_norm_block_moments.js";
import { blockApply, blockNorm, blockStatistics, PARTS } from "../../../kernels/group_norm_block.wgsl.js";
import type { Format } from "../../../kernels/wgsl.js";
import type { Device } from "../device.js";
import { Tensor } from "../tensor.js";
import { commonDivisor } from "./common.js";

/** A group norm whose operands are checked. */
export interface GroupNormCall {
  x: Tensor;
  skip?: Tensor | null;
  weight: Tensor;
  bias: Tensor;
  format: Format;
  batch: number;
  /** Pixels of an image. */
  spatial: number;
  channels: number;
  groups: number;
  eps: number;
  silu: boolean;
}

/** Sizes of the kernels in kernels/group_norm_block.wgsl.ts. */
export interface BlockPlan extends Pick<BlockVariant, "quads" | "threads" | "unroll"> {
  /** Spans in a block of channels; whole groups. */
  width: number;
  /** Into how many parts the statistics split the pixels; 0 for the kernel that does all at once. */
  splits: number;
  /** Into how many runs the second kernel does. */
  runs: number;
}

/** Numbers of a block which one workgroup normalises at once; more would leave the others of a GPU idle for too long. */
const WHOLE = 20480;
/** Of a workgroup, at most. */
const THREADS = 256;
const UNROLL = 4;
/** Workgroups that fill a GPU, for statistics and for the stream behind it: 2 and 4 for each of an H100's 132 multiprocessors,
 *  where more of the first took longer to merge than they saved. */
const FILLED = { statistics: 264, apply: 528 };
/** More parts of a group than this take longer to merge, in every workgroup, than they save. */
const SPLITS = 64;
/** Spans that a block has at least, for neighbours in memory: 128 bytes. */
const WIDTH = 8;

/** The sizes for a GPU, or null where blocks of whole groups do not fit in workgroups. */
export function blockPlan(device: Device, call: GroupNormCall): BlockPlan | null {
  const { channels, x, format } = call;
  if (channels % 4 !== 0) return null;
  // Small tensors lie in caches, and there are more threads than long loads could keep busy.
  const whole = wholePlan(device, call);
  if (whole) return whole;
  const pairs = format !== "f32" && channels % 8 === 0 && x.shape.at(-1)! % 8 === 0;
  const options = pairs ? ([2, 1] as const) : ([1] as const);
  for (const quads of options) {
    const plan = splitPlan(call, quads);
    if (plan && fits(device, call, plan)) return plan;
  }
  return null;
}

/** Spans of `quads` quads in the narrowest block of whole groups. */
export function narrowest({ channels, groups }: Pick<GroupNormCall, "channels" | "groups">, quads: number): number {
  const perGroup = channels / groups;
  return perGroup / commonDivisor(perGroup, 4 * quads);
}

function wholePlan(device: Device, call: GroupNormCall): BlockPlan | null {
  const quads = 1;
  const width = narrowest(call, quads);
  if (call.spatial * width * 4 > WHOLE) return null;
  for (let threads = 512; threads >= 64; threads /= 2) {
    const plan: BlockPlan = { quads, threads, unroll: UNROLL, width, splits: 0, runs: 1 };
    // A thread has a few pixels at least.
    if ((threads === 64 || call.spatial * width >= 2 * threads) && fits(device, call, plan)) return plan;
  }
  return null;
}

function splitPlan(call: GroupNormCall, quads: 1 | 2): BlockPlan | null {
  const { batch, spatial, channels, groups } = call;
  const narrow = narrowest(call, quads);
  const width = narrow * Math.ceil(WIDTH / narrow);
  if (width > THREADS) return null;
  // A power of two, as pixels mostly are: none idles, and none has a pixel more than others.
  const lines = 2 ** Math.floor(Math.log2(THREADS / width));
  const blocks = batch * Math.ceil(channels / 4 / quads / width);
  const perBlock = (width * 4 * quads) / (channels / groups);
  /** About as many runs as `wanted`, up to `most`, of whole turns of each thread. */
  const even = (wanted: number, most: number): number => {
    const turns = Math.max(1, Math.round(spatial / lines / UNROLL / Math.max(1, wanted)));
    return Math.max(1, Math.min(most, Math.ceil(spatial / lines / UNROLL / turns)));
  };
  return {
    quads,
    threads: lines * width,
    unroll: UNROLL,
    width,
    splits: even(FILLED.statistics / blocks, Math.min(SPLITS, Math.floor(PARTS / perBlock))),
    runs: even(FILLED.apply / blocks, Infinity),
  };
}

/** Whether a plan's workgroups keep within what their kernels and the device hold. */
function fits({ limits }: Device, call: GroupNormCall, plan: BlockPlan): boolean {
  const { quads, threads, width } = plan;
  const perGroup = call.channels / call.groups;
  const lanes = 4 * quads * width;
  return (
    width <= threads &&
    lanes / perGroup <= MOST.groups &&
    lanes / unitOf(perGroup) <= MOST.units &&
    threads <= Math.min(limits.maxComputeInvocationsPerWorkgroup, limits.maxComputeWorkgroupSizeX) &&
    momentsBytes(plan) <= limits.maxComputeWorkgroupStorageSize
  );
}

const unitOf = (perGroup: number): 1 | 2 | 4 => commonDivisor(perGroup, 4) as 1 | 2 | 4;

/** y [batch, ..., channels]. */
export function groupNormByBlocks(call: GroupNormCall, plan: BlockPlan): Tensor {
  const { x, skip, weight, bias, format, batch, spatial, channels, groups, eps, silu } = call;
  const { device } = x;
  const { quads, threads, unroll, width, splits, runs } = plan;
  const perGroup = channels / groups;
  const variant = { format, quads, threads, unroll, unit: unitOf(perGroup), joined: Boolean(skip) };
  const front = x.shape.at(-1)! / (4 * quads);
  const values = { spatial, channels, front, per_group: perGroup, width };
  const blocks = Math.ceil(channels / (4 * quads) / width);
  const behind = skip ? [skip] : [];
  const y = Tensor.empty(device, [...x.shape.slice(0, -1), channels], x.dtype);
  if (splits === 0) {
    device.run({
      kernel: blockNorm,
      variant: { ...variant, silu },
      values: { ...values, eps },
      buffers: [x, weight, bias, y, ...behind],
      grid: [blocks, 1, batch],
    });
    return y;
  }
  const parts = Tensor.empty(device, [batch, splits, groups, 2], "float32");
  device.run({
    kernel: blockStatistics,
    variant,
    values,
    buffers: [x, parts, ...behind],
    grid: [blocks, splits, batch],
  });
  device.run({
    kernel: blockApply,
    variant: { ...variant, silu },
    values: { ...values, splits, lines: Math.floor(threads / width), eps },
    buffers: [x, parts, weight, bias, y, ...behind],
    grid: [blocks, runs, batch],
  });
  parts.dispose();
  return y;
}
