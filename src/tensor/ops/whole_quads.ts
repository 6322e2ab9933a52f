import { wholeQuads as kernel } from "../../../kernels/whole_quads.wgsl.js";
import { bitsOf } from "../../../kernels/wgsl.js";
import { product } from "../dtype.js";
import { Tensor } from "../tensor.js";
import { formatFor, quadsOf } from "./common.js";
import { concat } from "./shape.js";
import { runStream } from "./streams.js";

const wholeLength = (n: number): number => 4 * Math.ceil(n / 4);

/** Whether one binding holds `filledUp(x)`. */
export const canFill = ({ shape, bytes, device }: Tensor): boolean =>
  (bytes / shape.at(-1)!) * wholeLength(shape.at(-1)!) <= device.limits.maxStorageBufferBindingSize;

/** x with its last axis filled up to a multiple of 4, by copies of its last column. */
export function filledUp(x: Tensor): Tensor {
  const n = x.shape.at(-1)!;
  const y = Tensor.empty(x.device, [...x.shape.slice(0, -1), wholeLength(n)], x.dtype);
  const variant = { format: bitsOf(formatFor("wholeQuads", x)) };
  runStream(x.device, quadsOf(y), { kernel, variant, values: { n }, buffers: [x, y] });
  return y;
}

/** The same of a weight or a bias; made on the first call and kept with `x`. */
export const wholeQuads = (x: Tensor): Tensor => x.memo(wholeQuads, () => [filledUp(x)])[0];

/**
 * A convolution's weight for images that are filled up: rows of zeros behind those of a tap's channels. Made on the first call and
 * kept with `w`.
 */
export function wholeRows(w: Tensor): Tensor {
  return w.memo(wholeRows, () => {
    const { device, dtype } = w;
    const [kernelHeight, kernelWidth, cin, cout] = w.shape;
    const shape = [kernelHeight, kernelWidth, wholeLength(cin) - cin, cout];
    const zeros = Tensor.from(new Float32Array(product(shape)), shape, { dtype, device });
    const y = concat(w, zeros, 2);
    zeros.dispose();
    return [y];
  })[0];
}
