/** Masks that a call takes: the mask processor of diffusers' inpainting pipelines, diffusers/image_processor.py. */
import type { Device } from "../../tensor/device.js";
import { Tensor } from "../../tensor/tensor.js";
import { stretch, type Fit } from "./image_processor.js";
import { checkPixels, greyOf, listOf, type PixelSource } from "./pixels.js";
import { joined, nearest, type Planes } from "./planes.js";

/**
 * White where the picture is drawn anew, black where it stays: a picture, or a Tensor [batch, 1, height, width], [batch, height, width]
 * or [height, width] of 0 to 1. From the middle on it counts as white.
 */
export type MaskInput = PixelSource | Tensor;

const WANTED =
  "`maskImage` must be a picture { width, height, data } (RawImage, ImageData), a Tensor [batch, 1, height, width] in [0, 1], or a list of " +
  "one of them";

/** @throws TypeError, RangeError for what is no mask, before anything is drawn */
export function checkMasks(mask: unknown, device: Device): asserts mask is MaskInput | readonly MaskInput[] {
  const list = listOf(mask);
  if (list.length === 0) throw new TypeError(`${WANTED}, got an empty list`);
  for (const each of list)
    if (!(each instanceof Tensor)) checkPixels("maskImage", WANTED, each);
    else if (each.dtype === "int32" || !planeShape(each)) throw new RangeError(`${WANTED}, got ${String(each)}`);
    else if (each.device !== device) throw new TypeError(`${WANTED}, on the pipeline's device, but it is on another`);
}

/** [batch, height, width]; null for what has channels. */
function planeShape({ shape }: Tensor): [number, number, number] | null {
  if (shape.length === 2) return [1, shape[0], shape[1]];
  if (shape.length === 3) return [shape[0], shape[1], shape[2]];
  return shape.length === 4 && shape[1] === 1 ? [shape[0], shape[2], shape[3]] : null;
}

/**
 * @param mask checked by checkMasks(); tensors are not disposed
 * @param fit how a picture gets its size
 * @returns [batch, 1, height, width] of 0 and 1
 */
export async function preprocessMask(
  mask: MaskInput | readonly MaskInput[],
  [width, height]: readonly [number, number],
  fit: Fit = stretch,
): Promise<Planes> {
  const masks = (listOf(mask) as readonly MaskInput[]).map(async (each): Promise<Float32Array> => {
    if (!(each instanceof Tensor)) return Float32Array.from(greyOf(fit(each, [width, height])), (v) => v / 255);
    const [batch, h, w] = planeShape(each)!;
    return nearest({ values: Float32Array.from(await each.data()), shape: [batch, 1, h, w] }, height, width).values;
  });
  const values = joined(await Promise.all(masks)).map((v) => (v < 0.5 ? 0 : 1));
  return { values, shape: [values.length / width / height, 1, height, width] };
}

/** The pictures where the mask is black, and 0, which is grey, where it is white. @throws RangeError unless there are as many, or one */
export function masked(pictures: Planes, mask: Planes): Planes {
  const [count, channels, height, width] = pictures.shape;
  const masks = mask.shape[0];
  if (count !== masks && count !== 1 && masks !== 1)
    throw new RangeError(`\`maskImage\`: ${masks} masks do not go with ${count} pictures; give one, or as many`);
  const batch = Math.max(count, masks);
  const plane = height * width;
  const values = new Float32Array(batch * channels * plane);
  for (let i = 0; i < values.length; i++) {
    const image = Math.floor(i / (channels * plane));
    const kept = mask.values[(image % masks) * plane + (i % plane)] < 0.5;
    values[i] = kept ? pictures.values[i % pictures.values.length] : 0;
  }
  return { values, shape: [batch, channels, height, width] };
}
