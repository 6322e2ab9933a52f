/** Sizes for kernels of kernels/stripes.ts. */
import type { StripeVariant } from "../../../kernels/stripes.js";
import { THREADS } from "../../../kernels/wgsl.js";
import type { Device } from "../device.js";
import { commonDivisor, threadGrid } from "./common.js";

/** Quads that a thread computes, after which its own cost is forgotten, and workgroups that keep all cores busy to the end. */
const QUADS = 256;
const WORKGROUPS = 16;

/** Columns that a thread holds at most: with more, compiling takes seconds, and SwiftShader's four lanes have too few registers. */
const HELD = { four: 2, more: 5 };
/** Quads up to which one column is enough: a tenth of a millisecond more, and a third to compile. */
const SMALL = 2 ** 18;

export interface Stripes {
  stripe: StripeVariant;
  values: { threads: number; columns: number; spatial: number; run: number };
  grid: [number, number];
}

/**
 * @param columns quads of a row, of one tensor or of two side by side: no stripe has some of both
 * @param most columns that a thread holds at most, where that is not chosen
 */
export function stripes(
  { streamLanes }: Pick<Device, "streamLanes">,
  columns: readonly number[],
  { images, spatial }: { images: number; spatial: number },
  most?: number,
): Stripes {
  const width = commonDivisor(...columns);
  // Threads of a GPU read together what lies together, whichever of them make a subgroup.
  const lanes = commonDivisor(streamLanes || THREADS, width);
  const quads = columns.reduce((a, b) => a + b);
  const all = images * spatial * quads;
  let held = most ?? (all < SMALL ? 1 : HELD[streamLanes === 4 ? "four" : "more"]);
  while ((width / lanes) % held !== 0) held--;
  const share = Math.floor(all / (WORKGROUPS * THREADS));
  const run = Math.max(1, Math.min(spatial, Math.floor(Math.min(QUADS, share) / held)));
  const threads = (quads / held) * images * Math.ceil(spatial / run);
  return {
    stripe: { lanes, held },
    values: { threads, columns: quads, spatial, run },
    grid: threadGrid(threads),
  };
}
