import { wholeQuads as kernel } from "../../../kernels/whole_quads.wgsl.js";
import { bitsOf } from "../../../kernels/wgsl.js";
import { Tensor } from "../tensor.js";
import { formatFor, quadsOf } from "./common.js";
import { runStream } from "./streams.js";

/**
 * A weight or a bias with its last axis filled up to a multiple of 4, by copies of its last column. Made on the first call and kept
 * with `x`.
 */
export function wholeQuads(x: Tensor): Tensor {
  return x.memo(wholeQuads, () => {
    const n = x.shape.at(-1)!;
    const y = Tensor.empty(x.device, [...x.shape.slice(0, -1), 4 * Math.ceil(n / 4)], x.dtype);
    const variant = { format: bitsOf(formatFor("wholeQuads", x)) };
    runStream(x.device, quadsOf(y), { kernel, variant, values: { n }, buffers: [x, y] });
    return [y];
  })[0];
}
