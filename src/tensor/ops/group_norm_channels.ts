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

/** y [batch, ..., channels]. `plain` takes any number of channels; `splits` and `held` replace what is chosen (GroupNormOptions). */
export function groupNormByChannels(
  call: GroupNormCall,
  plain: boolean,
  { splits, held }: { splits?: number; held?: number },
): Tensor {
  const { x, skip, weight, bias, format, batch, spatial, channels, groups, eps, silu } = call;
  const { device } = x;
  const columns = Math.ceil(channels / 4);
  const y = Tensor.empty(device, [...x.shape.slice(0, -1), channels], x.dtype);
  const behind = skip ? [skip] : [];
  const slabs = slabsOf(call, [x, y, ...behind]);
  const wanted = splits ?? Math.min(spatial / RUN, THREADS / (batch * columns));
  const parts = slabs.splits(Math.max(1, Math.min(spatial, Math.ceil(wanted))));
  const source = { plain, joined: Boolean(skip) };
  const front = x.shape.at(-1)! >> 2;

  const runs = Tensor.empty(device, [batch, parts, columns, 8], "float32");
  for (const { images, spatial, of } of slabs.all) {
    const count = of(runs).size / 8;
    device.run({
      kernel: statistics,
      variant: { format, ...source },
      values: { spatial, channels, front, splits: count / (images * columns), count },
      buffers: [of(x), of(runs), ...behind.map(of)],
      grid: threadGrid(count),
    });
  }
  const moments = Tensor.empty(device, [batch, 2, columns, 4], "float32");
  device.run({
    kernel: merge,
    variant: { format },
    values: { spatial, channels, groups, splits: parts, count: batch * groups, eps },
    buffers: [runs, weight, moments],
    grid: threadGrid(batch * groups),
  });
  runs.dispose();
  for (const { images, spatial, of, ofImage } of slabs.all) {
    const to = of(y);
    const walk = plain
      ? { stripe: null, values: { threads: quadsOf(to), columns, spatial, run: 0 }, grid: threadGrid(quadsOf(to)) }
      : stripes(device, skip ? [front, columns - front] : [columns], { images, spatial }, held);
    device.run({
      kernel: apply,
      variant: { format, silu, joined: Boolean(skip), stripe: walk.stripe },
      values: { ...walk.values, front, size: to.size, channels },
      buffers: [of(x), ofImage(moments), bias, to, ...behind.map(of)],
      grid: walk.grid,
    });
  }
  moments.dispose();
  return y;
}

/** Some of the pixels of one image, or all of all images. */
interface Slab {
  images: number;
  /** Pixels of an image that are in it. */
  spatial: number;
  /** The slab's part of a tensor, which has as much for each. */
  of(x: Tensor): Region;
  /** The part of its image. */
  ofImage(x: Tensor): Region;
}

interface Slabs {
  all: Slab[];
  /** A number of runs of an image, as many at least, that has whole runs in each slab. */
  splits(least: number): number;
}

/** All at once, or in parts of each image where an adapter cannot bind what is read and written (equal_parts.ts). */
function slabsOf({ batch, spatial, channels }: GroupNormCall, tensors: readonly Tensor[]): Slabs {
  const columns = Math.ceil(channels / 4);
  const parts = equalParts(tensors, spatial, batch);
  // The moments of an image are bound too.
  if (parts.length === 1 || (batch > 1 && columns % 8 !== 0)) {
    const whole = (x: Tensor): Tensor => x;
    return { all: [{ images: batch, spatial, of: whole, ofImage: whole }], splits: (least) => least };
  }
  const perImage = parts.length / batch;
  const unit = (perImage * 8) / commonDivisor(8, columns);
  return {
    all: parts.map((of, i) => ({
      ...{ images: 1, spatial: spatial / perImage, of },
      ofImage: (x) => partOf(x, Math.floor(i / perImage), batch),
    })),
    splits: (least) => Math.ceil(least / unit) * unit,
  };
}
