/** Rows of tensors that an adapter cannot bind whole (WebGPU's default is 128 MiB), or not go through in time, in parts of as many each. */
import { ALIGNMENT } from "../memory.js";
import { Part, type Region } from "../part.js";
import type { Tensor } from "../tensor.js";

/**
 * What each part has of a tensor, for `images` times a power of two parts; all of it where the tensors are small enough as they are, or
 * where no such parts could be.
 * @param rows of an image; tensors have the same number of elements for each
 * @param most elements of a part
 */
export function equalParts(
  tensors: readonly Tensor[],
  rows: number,
  images = 1,
  most = Infinity,
): ((x: Tensor) => Region)[] {
  const limit = tensors[0].device.limits.maxStorageBufferBindingSize;
  const fits = (count: number): boolean =>
    tensors.every(({ bytes, size }) => bytes <= limit * count && size <= most * count);
  const parts = (count: number): ((x: Tensor) => Region)[] =>
    Array.from({ length: count }, (_, i) => (x) => partOf(x, i, count));
  if (fits(1)) return parts(1);
  let count = images;
  while (!fits(count)) count *= 2;
  const canStart = tensors.every(({ size, itemSize }) => ((size / count) * itemSize) % ALIGNMENT === 0);
  return parts((rows * images) % count === 0 && canStart ? count : 1);
}

/** Part `i` of so many; of one, the tensor. */
export const partOf = (x: Tensor, i: number, count: number): Region =>
  count === 1 ? x : new Part(x, (i * x.size) / count, [x.size / count]);
