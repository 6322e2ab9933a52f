import { blend as kernel } from "../../../kernels/blend.wgsl.js";
import { product } from "../dtype.js";
import { Tensor } from "../tensor.js";
import { expectShape, formatFor, quadsOf } from "./common.js";
import { runStream } from "./streams.js";

/**
 * b, whose first `extent` rows along `axis` fade in from the last `extent` rows of a, as diffusers' blend_v (axis 2 of
 * NCHW) and blend_h (axis 3) do with the tiles of a VAE.
 * @param extent more than either has is cut down to what both have; 0 gives a copy of b
 */
export function blend(a: Tensor, b: Tensor, axis: number, extent: number): Tensor {
  if (!Number.isInteger(axis) || axis < 0 || axis >= b.shape.length)
    throw new RangeError(`blend: axis ${axis} is not one of [${b.shape.join(", ")}]`);
  if (!Number.isInteger(extent) || extent < 0)
    throw new RangeError(`blend: the extent must be a whole number, got ${extent}`);
  expectShape(
    "blend",
    "a, but for the blended axis,",
    a,
    b.shape.map((n, i) => (i === axis ? (a.shape[i] ?? -1) : n)),
  );
  const format = formatFor("blend", a, b);
  const y = Tensor.empty(b.device, b.shape, b.dtype);
  runStream(b.device, quadsOf(y), {
    kernel,
    variant: { format },
    values: {
      size: y.size,
      count_a: a.shape[axis],
      count_b: b.shape[axis],
      inner: product(b.shape.slice(axis + 1)),
      extent: Math.min(extent, a.shape[axis], b.shape[axis]),
    },
    buffers: [a, b, y],
  });
  return y;
}
