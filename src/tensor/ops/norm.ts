import { layerNorm as layerKernel } from "../../../kernels/layer_norm.wgsl.js";
import { layerNormTeam, type TeamVariant } from "../../../kernels/layer_norm_team.wgsl.js";
import { fixedLanes } from "../adapter_kind.js";
import type { Device } from "../device.js";
import { product } from "../dtype.js";
import { Tensor } from "../tensor.js";
import { expectShape, foldedGrid, formatFor, quadsOf } from "./common.js";
import { blockPlan, groupNormByBlocks, type BlockPlan } from "./group_norm_block.js";
import { groupNormByChannels } from "./group_norm_channels.js";
import { layerNormByRows } from "./layer_norm_rows.js";
import { blockWidth, groupNormByLanes, layerNormByLanes, normLanes } from "./norm_lanes.js";
import { runStream } from "./streams.js";

export interface GroupNormOptions {
  groups: number;
  eps: number;
  /** Follow with x * sigmoid(x). */
  silu?: boolean;
  /** [batch, height, width, more channels]: what is normalised is x with these channels behind its own, without a copy of both. */
  skip?: Tensor | null;
  /** For tests: the kernels of CPU adapters, and into how many runs they split the pixels of an image. */
  splits?: number;
  /** For tests: how many columns their last step holds at most. */
  held?: number;
  /** For tests: the kernels that take any number of channels. */
  plain?: boolean;
  /** For tests and tuning: the kernels of GPUs, with these sizes. */
  blocks?: BlockPlan;
}

/** Whether ops take x and skip as if they were concatenated: quads of channels then lie in one of them. */
export const canJoin = (x: Tensor, skip: Tensor): boolean =>
  !x.device.plainKernels && x.shape.at(-1)! % 4 === 0 && skip.shape.at(-1)! % 4 === 0;

/**
 * torch.nn.functional.group_norm on NHWC, optionally followed by SiLU; statistics in float32.
 * @param x [batch, height, width, channels] (or [batch, tokens, channels])
 * @param weight [channels], with those of `skip` behind
 * @param bias [channels], the same
 * @throws RangeError if shapes do not match, or x and skip cannot be joined (see canJoin)
 */
export function groupNorm(
  x: Tensor,
  weight: Tensor,
  bias: Tensor,
  { groups, eps, silu = false, skip, ...how }: GroupNormOptions,
): Tensor {
  const { device } = x;
  const batch = x.shape[0];
  const own = x.shape.at(-1) ?? 0;
  const channels = own + (skip?.shape.at(-1) ?? 0);
  if (x.shape.length < 3 || channels % groups !== 0)
    throw new RangeError(
      `groupNorm: ${groups} groups do not divide the channels of x [${x.shape.join(", ")}] (channels last)` +
        (skip ? ` and skip [${skip.shape.join(", ")}]` : ""),
    );
  if (skip) expectShape("groupNorm", "skip", skip, [...x.shape.slice(0, -1), channels - own]);
  const plain = how.plain ?? (device.plainKernels || channels % 4 !== 0);
  if (skip && (plain || !canJoin(x, skip)))
    throw new RangeError(
      `groupNorm: x and skip are joined by quads of channels, got [${x.shape.join(", ")}] and [${skip.shape.join(", ")}]; concatenate them`,
    );
  expectShape("groupNorm", "weight", weight, [channels]);
  expectShape("groupNorm", "bias", bias, [channels]);
  const format = formatFor("groupNorm", x, weight, bias, skip);
  const spatial = product(x.shape.slice(1, -1));
  const call = { x, skip, weight, bias, format, batch, spatial, channels, groups, eps, silu };
  // Only the kernels of channels take any number of them, and tensors part by part.
  const byChannels = plain || batch * spatial * channels * x.itemSize > device.limits.maxStorageBufferBindingSize;
  const chosen = how.splits === undefined && how.held === undefined && !how.blocks;
  const lanes = byChannels || !chosen ? 0 : normLanes(device, "groupNorm", (batch * spatial * channels) / 4);
  const width = blockWidth(lanes, call);
  if (width > 0) return groupNormByLanes(call, lanes, width);
  const blocks =
    how.blocks ?? (byChannels || device.isSoftware || how.splits !== undefined ? null : blockPlan(device, call));
  return blocks ? groupNormByBlocks(call, blocks) : groupNormByChannels(call, plain, how);
}

/** Sizes of kernels/layer_norm_team.wgsl.ts. */
export type TeamPlan = Pick<TeamVariant, "team" | "threads" | "shuffled">;

export interface LayerNormOptions {
  eps: number;
  /** For tests: the kernel of any width, or those of CPU adapters. */
  by?: "plain" | "rows";
  /** For tests: how many columns a thread of the latter holds at most. */
  held?: number;
  /** For tests and tuning: the kernel of GPUs, with these sizes. */
  team?: TeamPlan;
}

/** Quads of a row that a thread keeps: as many loads wait at once. */
const KEPT = { wanted: 5, most: 16 };
const TEAM_THREADS = 256;

/** The sizes for a GPU, or null for rows that no team can keep. */
function teamPlan({ adapterInfo, features }: Device, width: number): TeamPlan | null {
  const quads = width / 4;
  const team = Math.min(TEAM_THREADS, 2 ** Math.ceil(Math.log2(Math.max(1, quads / KEPT.wanted))));
  if (width % 4 !== 0 || quads > KEPT.most * team) return null;
  return { team, threads: TEAM_THREADS, shuffled: fixedLanes(adapterInfo, features) || 1 };
}

/**
 * torch.nn.functional.layer_norm over the last axis; statistics in float32.
 * @param x [..., width]
 * @param weight [width]
 * @param bias [width]
 */
export function layerNorm(
  x: Tensor,
  weight: Tensor,
  bias: Tensor,
  { eps, by, held, ...how }: LayerNormOptions,
): Tensor {
  const { device } = x;
  const width = x.shape.at(-1) ?? 0;
  expectShape("layerNorm", "weight", weight, [width]);
  expectShape("layerNorm", "bias", bias, [width]);
  const format = formatFor("layerNorm", x, weight, bias);
  const plain = width % 4 !== 0 || (by ? by === "plain" : device.plainKernels);
  const plan = how.team ?? (by || plain || device.isSoftware ? null : teamPlan(device, width));
  const lanes = by ? 0 : normLanes(device, "layerNorm", x.size / 4);
  const ours = { x, weight, bias, format, eps };
  if (!plan && !plain) return lanes > 0 ? layerNormByLanes(ours, lanes) : layerNormByRows(ours, held);
  const y = Tensor.empty(device, x.shape, x.dtype);
  const rows = x.size / width;
  const call = { values: { rows, width, eps }, buffers: [x, weight, bias, y] };
  if (plan) {
    const { team, threads } = plan;
    const kept = Math.ceil(width / 4 / team);
    const grid = foldedGrid(Math.ceil((rows * team) / threads));
    device.run({ kernel: layerNormTeam, variant: { format, ...plan, kept }, ...call, grid });
  } else runStream(device, quadsOf(y), { kernel: layerKernel, variant: { format }, ...call });
  return y;
}
