/** Launches the group norm kernels of CPU adapters, which are those of channels that fill no quads too. */
import { apply } from "../../../kernels/group_norm_apply.wgsl.js";
import { merge } from "../../../kernels/group_norm_merge.wgsl.js";
import { statistics } from "../../../kernels/group_norm_statistics.wgsl.js";
import { Tensor } from "../tensor.js";
import { threadGrid, quadsOf } from "./common.js";
import type { GroupNormCall } from "./group_norm_block.js";
import { stripes } from "./stripes.js";

/** Pixels that one thread of the statistics reads at least, and threads that are enough. */
const RUN = 32;
const THREADS = 2048;

/** y [batch, ..., channels]. `plain` takes any number of channels; `splits` and `held` replace what is chosen (GroupNormOptions). */
export function groupNormByChannels(
  call: GroupNormCall,
  plain: boolean,
  { splits, held }: { splits?: number; held?: number },
): Tensor {
  const { x, skip, weight, bias, format, batch, spatial, channels, groups, eps, silu } = call;
  const { device } = x;
  const columns = Math.ceil(channels / 4);
  const wanted = splits ?? Math.min(spatial / RUN, THREADS / (batch * columns));
  const parts = Math.max(1, Math.min(spatial, Math.ceil(wanted)));
  const source = { plain, joined: Boolean(skip) };
  const sizes = { spatial, channels, front: x.shape.at(-1)! >> 2 };
  const behind = skip ? [skip] : [];

  const runs = Tensor.empty(device, [batch, parts, columns, 8], "float32");
  const count = batch * parts * columns;
  device.run({
    kernel: statistics,
    variant: { format, ...source },
    values: { ...sizes, splits: parts, count },
    buffers: [x, runs, ...behind],
    grid: threadGrid(count),
  });
  const moments = Tensor.empty(device, [batch, 2, columns, 4], "float32");
  device.run({
    kernel: merge,
    variant: { format },
    values: { spatial, channels, groups, splits: parts, count: batch * groups, eps },
    buffers: [runs, weight, moments],
    grid: threadGrid(batch * groups),
  });
  runs.dispose();
  const y = Tensor.empty(device, [...x.shape.slice(0, -1), channels], x.dtype);
  const front = x.shape.at(-1)! >> 2;
  const walk = plain
    ? { stripe: null, values: { threads: quadsOf(y), columns, spatial, run: 0 }, grid: threadGrid(quadsOf(y)) }
    : stripes(device, skip ? [front, columns - front] : [columns], { images: batch, spatial }, held);
  device.run({
    kernel: apply,
    variant: { format, silu, joined: Boolean(skip), stripe: walk.stripe },
    values: { ...walk.values, front, size: y.size, channels },
    buffers: [x, moments, bias, y, ...behind],
    grid: walk.grid,
  });
  moments.dispose();
  return y;
}
