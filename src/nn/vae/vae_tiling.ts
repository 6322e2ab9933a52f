/** Large pictures through a VAE tile by tile, diffusers/models/autoencoders/autoencoder_kl.py (tiled_decode, _tiled_encode). */
import { blend } from "../../tensor/ops/blend.js";
import { slice } from "../../tensor/ops/copy.js";
import { concat } from "../../tensor/ops/shape.js";
import type { Tensor } from "../../tensor/tensor.js";

export interface Tiling {
  /** Side of a tile of the input. */
  size: number;
  /** From one tile of the input to the next. */
  stride: number;
  /** Of the result: over how many rows and columns two tiles fade into each other. */
  fade: number;
  /** Of the result: what is kept of a tile, so that the next one follows. */
  kept: number;
}

/**
 * Cuts x into overlapping tiles, puts each through `work`, fades each result into those above and left of it, and joins
 * them. Every tile has normalisation and attention of its own, so the result differs from one pass over the whole.
 * @param x [batch, channels, height, width]
 * @param work NCHW to NCHW; the same scale for all tiles
 */
export function tiled(x: Tensor, { size, stride, fade, kept }: Tiling, work: (tile: Tensor) => Tensor): Tensor {
  const [, , height, width] = x.shape;
  return x.device.scope(() => {
    let above: Tensor[] = [];
    const bands: Tensor[] = [];
    for (let top = 0; top < height; top += stride) {
      const row: Tensor[] = [];
      for (let left = 0; left < width; left += stride) {
        const up = above.at(row.length);
        const before = row.at(-1);
        row.push(
          x.device.scope(() => {
            const tall = slice(x, 2, top, Math.min(size, height - top));
            let tile = work(slice(tall, 3, left, Math.min(size, width - left)));
            if (up) tile = blend(up, tile, 2, fade);
            return before ? blend(before, tile, 3, fade) : tile;
          }),
        );
      }
      const cropped = row.map((tile) => crop(tile, kept));
      bands.push(join(cropped, 3));
      for (const tile of above) tile.dispose();
      above = row;
    }
    return join(bands, 2);
  });
}

/** The first rows and columns, at most `most` of each. */
function crop(x: Tensor, most: number): Tensor {
  const [height, width] = [Math.min(most, x.shape[2]), Math.min(most, x.shape[3])];
  return x.device.scope(() => slice(slice(x, 2, 0, height), 3, 0, width));
}

/** torch.cat of several tensors, which are disposed. */
function join(parts: readonly Tensor[], axis: number): Tensor {
  let all = parts[0];
  for (const part of parts.slice(1)) {
    const next = concat(all, part, axis);
    all.dispose();
    part.dispose();
    all = next;
  }
  return all;
}

/** Pixels of a picture that keep an adapter busy by themselves. */
const LARGE = 256 * 256;

/**
 * Runs `work` on all images, or on one at a time where that is asked for or they are large: they then need the memory of one.
 * @param x [batch, channels, height, width], of pictures or of latents with `zoom` pixels along each side
 */
export function byImages(
  x: Tensor,
  { slicing, zoom }: { slicing: boolean; zoom: number },
  work: (x: Tensor) => Tensor,
): Tensor {
  const [batch, , height, width] = x.shape;
  return x.device.scope(() => {
    if (batch === 1 || !(slicing || zoom ** 2 * height * width >= LARGE)) return work(x);
    const images = Array.from({ length: batch }, (_, i) => x.device.scope(() => work(slice(x, 0, i, 1))));
    return join(images, 0);
  });
}
