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
  /** For tests: the number of workgroups that share a group. */
  splits?: number;
}

/** Elements of a group that one workgroup or thread reads; more are split, so that the VAE's groups of millions stay short. */
const SPLIT_ELEMENTS = { workgroup: 16384, thread: 256 };
const MAX_SPLITS = 256;

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
  { groups, eps, silu = false, splits }: GroupNormOptions,
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
  const by = device.isSoftware ? "thread" : "workgroup";
  const wanted = splits ?? Math.ceil((spatial * channels) / groups / SPLIT_ELEMENTS[by]);
  const parts = Math.min(spatial, wanted, MAX_SPLITS);
  const count = batch * groups * parts;
  let statistics = Tensor.empty(device, [batch * groups, parts, 4], "float32");
  device.run({
    kernel: group.statistics,
    variant: { format, by },
    values: { spatial, channels, groups, splits: parts, count },
    buffers: [x, statistics],
    grid: foldedGrid(by === "workgroup" ? count : Math.ceil(count / group.WORKGROUP_SIZE)),
  });
  if (parts > 1) {
    const merged = Tensor.empty(device, [batch * groups, 4], "float32");
    const values = { count: batch * groups, splits: parts };
    const grid = [Math.ceil((batch * groups) / group.WORKGROUP_SIZE)];
    device.run({ kernel: group.merge, variant: {}, values, buffers: [statistics, merged], grid });
    statistics.dispose();
    statistics = merged;
  }
  const y = Tensor.empty(device, x.shape, x.dtype);
  const quads = quadsOf(y);
  device.run({
    kernel: group.apply,
    variant: { format, silu, aligned: (channels / groups) % 4 === 0 },
    values: { quads, size: y.size, spatial, channels, groups, eps },
    buffers: [x, statistics, weight, bias, y],
    grid: foldedGrid(Math.ceil(quads / group.WORKGROUP_SIZE)),
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
  const variant = by ?? (width % 4 !== 0 ? "plain" : device.isSoftware ? "rows" : "workgroup");
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
