/**
 * Kernels of CPU adapters that go down columns with what they know of each in registers: the last step of norms. A thread has `held`
 * columns of quads, `lanes` apart, in a run of rows; the threads beside it have those between, so that together they read rows
 * in order (kernels/streams.ts says why).
 */
import { numbered, range, u32s } from "./wgsl.js";

export interface StripeVariant {
  lanes: number;
  held: number;
}

/** `threads` that have work, `columns` of a row, `spatial` rows of an image, and how many of them a thread has at most. */
export const STRIPE_PARAMS = u32s("threads", "columns", "spatial", "run");

/** The entry point. `body` sees its `image`, its rows from `begin` to `end`, and the first of its columns, `first`. */
export const inStripes = ({ lanes, held }: StripeVariant, body: string): string => `${numbered("thread")}
  if (thread >= params.threads) { return; }
  let stripes = params.columns / ${lanes * held}u;
  let runs = (params.spatial + params.run - 1u) / params.run;
  let first = thread / ${lanes}u % stripes * ${lanes * held}u + thread % ${lanes}u;
  let image = thread / (${lanes}u * stripes * runs);
  let start = thread / (${lanes}u * stripes) % runs * params.run;
  let begin = image * params.spatial + start;
  let end = begin + min(params.run, params.spatial - start);
${body}
}`;

/** `text` for each column that a thread holds, of which `quad` is the number in a row. */
export const eachHeld = ({ lanes, held }: StripeVariant, text: (k: number, quad: string) => string): string =>
  range(held)
    .map((k) => text(k, `first + ${k * lanes}u`))
    .join("\n");
