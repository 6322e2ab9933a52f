import { nonFinite as kernel } from "../../../kernels/non_finite.wgsl.js";
import { bitsOf } from "../../../kernels/wgsl.js";
import type { Tensor } from "../tensor.js";
import { formatFor, quadsOf } from "./common.js";
import { runStream } from "./streams.js";

/**
 * Sets a flag where x has a number that is infinite or NaN; leaves it as it was where all are finite.
 * @param flags int32, made by `Tensor.from`
 * @throws RangeError if there is no such flag
 */
export function markNonFinite(x: Tensor, flags: Tensor, slot: number): void {
  if (!(slot >= 0 && slot < flags.size)) throw new RangeError(`markNonFinite: no flag ${slot} in ${String(flags)}`);
  runStream(x.device, quadsOf(x), {
    kernel,
    variant: { format: bitsOf(formatFor("markNonFinite", x)) },
    values: { size: x.size, slot },
    buffers: [x, flags],
  });
}
