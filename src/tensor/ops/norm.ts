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
  /** For tests: into how many runs the pixels of an image are split. */
  splits?: number;
  /** For tests: the kernels that take any number of channels. */
  plain?: boolean;
}

/** Pixels that one thread of the statistics reads at least, and threads that are enough for any adapter. */
const RUN = 32;
const THREADS = 16384;

/**
 * torch.nn.functional.group_norm on NHWC, optionally followed by SiLU; statistics in float32.
 * @param x [batch, height, width, channels] (or [batch, tokens, channels])
 * @param weight [channels]
 * @param bias [channels]
 */
export function groupNorm(
  x: Tensor,
  weight: Tensor,
  bias: Tensor,
  { groups, eps, silu = false, splits, plain = x.device.plainKernels || x.shape.at(-1)! % 4 !== 0 }: GroupNormOptions,
): Tensor {
  const { device } = x;
  const batch = x.shape[0];
  const channels = x.shape.at(-1) ?? 0;
  if (x.shape.length < 3 || channels % groups !== 0)
    throw new RangeError(
      `groupNorm: ${groups} groups do not divide the channels of x [${x.shape.join(", ")}] (channels last)`,
    );
  expectShape("groupNorm", "weight", weight, [channels]);
  expectShape("groupNorm", "bias", bias, [channels]);
  const format = formatFor("groupNorm", x, weight, bias);
  const spatial = product(x.shape.slice(1, -1));
  const columns = Math.ceil(channels / 4);
  const wanted = splits ?? Math.min(spatial / RUN, THREADS / (batch * columns));
  const parts = Math.max(1, Math.min(spatial, Math.ceil(wanted)));
  const blocks = (threads: number): [number, number] => foldedGrid(Math.ceil(threads / group.WORKGROUP_SIZE));

  const runs = Tensor.empty(device, [batch, parts, columns, 8], "float32");
  const count = batch * parts * columns;
  device.run({
    kernel: group.statistics,
    variant: { format, plain },
    values: { spatial, channels, splits: parts, count },
    buffers: [x, runs],
    grid: blocks(count),
  });
  const statistics = Tensor.empty(device, [batch * groups, 4], "float32");
  const sizes = { spatial, channels, groups };
  device.run({
    kernel: group.merge,
    variant: {},
    values: { ...sizes, splits: parts },
    buffers: [runs, statistics],
    grid: [batch * groups],
  });
  runs.dispose();
  const y = Tensor.empty(device, x.shape, x.dtype);
  const threads = plain ? quadsOf(y) : batch * columns * Math.ceil(spatial / group.PIXELS);
  device.run({
    kernel: group.apply,
    variant: { format, silu, by: plain ? "plain" : (channels / groups) % 4 === 0 ? "aligned" : "straddling" },
    values: { ...sizes, count: threads, size: y.size, eps },
    buffers: [x, statistics, weight, bias, y],
    grid: blocks(threads),
  });
  statistics.dispose();
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
