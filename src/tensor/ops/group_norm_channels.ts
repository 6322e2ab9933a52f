/** Launches the group norm kernels of CPU adapters, which are those of channels that fill no quads too. */
import { apply } from "../../../kernels/group_norm_apply.wgsl.js";
import { merge } from "../../../kernels/group_norm_merge.wgsl.js";
import { statistics } from "../../../kernels/group_norm_statistics.wgsl.js";
import type { Region } from "../part.js";
import { Tensor } from "../tensor.js";
import { commonDivisor, threadGrid, quadsOf } from "./common.js";
import { equalParts, partOf } from "./equal_parts.js";
import type { GroupNormCall } from "./group_norm_block.js";
import { stripes } from "./stripes.js";

/** Pixels that one thread of the statistics reads at least, and threads that are enough. */
const RUN = 32;
const THREADS = 2048;
/** What a number costs, in the operations of a dispatch's budget: loads and SiLU, on SwiftShader. */
const COST = 20;

interface Choices {
  splits?: number;
  held?: number;
}

/** y [batch, ..., channels]. `plain` takes any number of channels; `splits` and `held` replace what is chosen (GroupNormOptions). */
export function groupNormByChannels(call: GroupNormCall, plain: boolean, choices: Choices): Tensor {
  const { x, skip, batch, spatial, channels } = call;
  const y = Tensor.empty(x.device, [...x.shape.slice(0, -1), channels], x.dtype);
  const parts = equalParts(skip ? [x, y, skip] : [x, y], spatial, batch, x.device.flopsBudget / COST);
  const perImage = parts.length / batch;
  if (parts.length === 1) normalize(call, y, parts, plain, choices);
  else
    for (let first = 0; first < parts.length; first += perImage)
      normalize({ ...call, batch: 1 }, y, parts.slice(first, first + perImage), plain, choices);
  return y;
}

/** @param parts what is bound of x, skip and y at a time: all of them, or equal parts of one image's pixels */
function normalize(
  { x, skip, weight, bias, format, batch, spatial: pixels, channels, groups, eps, silu }: GroupNormCall,
  y: Tensor,
  parts: readonly ((x: Tensor) => Region)[],
  plain: boolean,
  choices: Choices,
): void {
  const { device } = x;
  const columns = Math.ceil(channels / 4);
  const spatial = pixels / parts.length;
  const sources = skip ? [x, skip] : [x];
  const front = x.shape.at(-1)! >> 2;
  const joined = Boolean(skip);

  const wanted = choices.splits ?? Math.min(spatial / RUN, THREADS / (batch * columns * parts.length));
  // The runs of a part begin where a binding can.
  const unit = parts.length > 1 ? 8 / commonDivisor(8, columns) : 1;
  const splits = Math.ceil(Math.max(1, Math.min(spatial, wanted)) / unit) * unit;
  const runs = Tensor.empty(device, [batch, parts.length * splits, columns, 8], "float32");
  const count = batch * splits * columns;
  for (const [i, part] of parts.entries()) {
    const [from, ...behind] = sources.map(part);
    device.run({
      kernel: statistics,
      variant: { format, plain, joined },
      values: { spatial, channels, front, splits, count },
      buffers: [from, partOf(runs, i, parts.length), ...behind],
      grid: threadGrid(count),
    });
  }
  const moments = Tensor.empty(device, [batch, 2, columns, 4], "float32");
  device.run({
    kernel: merge,
    variant: { format },
    values: { spatial: pixels, channels, groups, splits: parts.length * splits, count: batch * groups, eps },
    buffers: [runs, weight, moments],
    grid: threadGrid(batch * groups),
  });
  runs.dispose();
  for (const part of parts) {
    const [from, ...behind] = sources.map(part);
    const to = part(y);
    const walk = plain
      ? { stripe: null, values: { threads: quadsOf(to), columns, spatial, run: 0 }, grid: threadGrid(quadsOf(to)) }
      : stripes(device, skip ? [front, columns - front] : [columns], { images: batch, spatial }, choices.held);
    device.run({
      kernel: apply,
      variant: { format, silu, joined, stripe: walk.stripe },
      values: { ...walk.values, front, size: to.size, channels },
      buffers: [from, moments, bias, to, ...behind],
      grid: walk.grid,
    });
  }
  moments.dispose();
}
