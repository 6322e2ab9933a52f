/** Rows of tensors that an adapter cannot bind whole (WebGPU's default is 128 MiB), in parts of as many each. */
import { ALIGNMENT } from "../memory.js";
import { Part, type Region } from "../part.js";
import type { Tensor } from "../tensor.js";

/**
 * What each part has of a tensor, for `images` times a power of two parts; all of it where the tensors can be bound whole, or where no
 * such parts could be.
 * @param rows of an image; tensors have the same number of elements for each
 */
export function equalParts(tensors: readonly Tensor[], rows: number, images = 1): ((x: Tensor) => Region)[] {
  const limit = tensors[0].device.limits.maxStorageBufferBindingSize;
  const whole = [(x: Tensor): Tensor => x];
  if (tensors.every(({ bytes }) => bytes <= limit)) return whole;
  let count = images;
  while (tensors.some(({ bytes }) => bytes > limit * count)) count *= 2;
  const canStart = tensors.every(({ size, itemSize }) => ((size / count) * itemSize) % ALIGNMENT === 0);
  if ((rows * images) % count !== 0 || !canStart) return whole;
  return Array.from({ length: count }, (_, i) => (x: Tensor) => partOf(x, i, count));
}

/** Part `i` of so many. */
export const partOf = (x: Tensor, i: number, count: number): Part =>
  new Part(x, (i * x.size) / count, [x.size / count]);
