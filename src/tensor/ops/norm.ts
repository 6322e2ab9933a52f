import * as group from "../../../kernels/group_norm.wgsl.js";
import { layerNorm as layerKernel, WORKGROUP_SIZE, type RowVariant } from "../../../kernels/layer_norm.wgsl.js";
import { product } from "../dtype.js";
import { Tensor } from "../tensor.js";
import { expectShape, foldedGrid, formatFor, quadsOf } from "./common.js";

export interface GroupNormOptions {
  groups: number;
  eps: number;
  /** Follow with x * sigmoid(x). */
  silu?: boolean;
  /** [batch, height, width, more channels]: what is normalised is x with these channels behind its own, without a copy of both. */
  skip?: Tensor | null;
  /** For tests: into how many runs the pixels of an image are split. */
  splits?: number;
  /** For tests: the kernels that take any number of channels. */
  plain?: boolean;
  /** For tests: what joins the parts of a group. */
  mergedBy?: group.MergeVariant["by"];
}

/** Pixels that one thread of the statistics reads at least, and threads that are enough: for any GPU, for CPU adapters. */
const RUN = 32;
const THREADS = { hardware: 16384, software: 2048 };

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
  { groups, eps, silu = false, skip, splits, ...how }: GroupNormOptions,
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
  const columns = Math.ceil(channels / 4);
  const threads = device.isSoftware ? THREADS.software : THREADS.hardware;
  const wanted = splits ?? Math.min(spatial / RUN, threads / (batch * columns));
  const parts = Math.max(1, Math.min(spatial, Math.ceil(wanted)));
  const blocks = (count: number): [number, number] => foldedGrid(Math.ceil(count / group.WORKGROUP_SIZE));
  const source = { plain, joined: Boolean(skip) };
  const sizes = { spatial, channels, front: own >> 2 };
  const behind = skip ? [skip] : [];

  const runs = Tensor.empty(device, [batch, parts, columns, 8], "float32");
  const count = batch * parts * columns;
  device.run({
    kernel: group.statistics,
    variant: { format, ...source },
    values: { ...sizes, splits: parts, count },
    buffers: [x, runs, ...behind],
    grid: blocks(count),
  });
  const moments = Tensor.empty(device, [batch, 2, columns, 4], "float32");
  const by = how.mergedBy ?? (device.isSoftware ? "thread" : "workgroup");
  device.run({
    kernel: group.merge,
    variant: { format, by },
    values: { spatial, channels, groups, splits: parts, count: batch * groups, eps },
    buffers: [runs, weight, moments],
    grid: by === "thread" ? blocks(batch * groups) : [batch * groups],
  });
  runs.dispose();
  const y = Tensor.empty(device, [...x.shape.slice(0, -1), channels], x.dtype);
  const streams = plain ? quadsOf(y) : batch * columns * Math.ceil(spatial / group.PIXELS);
  device.run({
    kernel: group.apply,
    variant: { format, silu, ...source },
    values: { ...sizes, count: streams, size: y.size },
    buffers: [x, moments, bias, y, ...behind],
    grid: blocks(streams),
  });
  moments.dispose();
  return y;
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
  { eps, by }: { eps: number; by?: RowVariant },
): Tensor {
  const { device } = x;
  const width = x.shape.at(-1) ?? 0;
  expectShape("layerNorm", "weight", weight, [width]);
  expectShape("layerNorm", "bias", bias, [width]);
  const format = formatFor("layerNorm", x, weight, bias);
  const y = Tensor.empty(device, x.shape, x.dtype);
  const rows = x.size / width;
  const variant = by ?? (device.plainKernels || width % 4 !== 0 ? "plain" : device.isSoftware ? "rows" : "workgroup");
  const threads = { plain: quadsOf(y), rows, workgroup: rows * WORKGROUP_SIZE }[variant];
  device.run({
    kernel: layerKernel,
    variant: { format, by: variant },
    values: { rows, width, eps },
    buffers: [x, weight, bias, y],
    grid: foldedGrid(Math.ceil(threads / WORKGROUP_SIZE)),
  });
  return y;
}
