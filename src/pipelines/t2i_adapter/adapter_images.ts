/** The pictures that T2I-Adapters read: _preprocess_adapter_image of diffusers/pipelines/t2i_adapter. */
import type { Device } from "../../tensor/device.js";
import { concat } from "../../tensor/ops/shape.js";
import { Tensor } from "../../tensor/tensor.js";
import { checkPixels, greyOf, listOf, rgbOf, type PixelSource } from "../images/pixels.js";
import { resample } from "../images/resample.js";

/** A picture, or a Tensor of pictures in [0, 1] with the adapter's channels: [batch, channels, height, width], or without the batch. */
export type AdapterImage = PixelSource | Tensor;

/** The pictures of one adapter, and how many channels it reads. */
export interface AdapterImages {
  pictures: readonly AdapterImage[];
  channels: number;
}

/** @throws TypeError, RangeError for what is no picture, or has other channels, before anything is drawn */
export function checkAdapterImages(image: unknown, channels: number, device: Device): AdapterImages {
  const wanted =
    "`image` must be a picture { width, height, data } (RawImage, ImageData), a Tensor [batch, channels, height, width] in [0, 1], or a " +
    "list of one of them";
  const pictures = listOf(image);
  if (pictures.length === 0) throw new TypeError(`${wanted}, got an empty list`);
  const tensors = pictures.filter((each) => each instanceof Tensor);
  if (tensors.length > 0 && tensors.length < pictures.length) throw new TypeError(`${wanted}, got a list of both`);
  for (const each of pictures) {
    if (!(each instanceof Tensor)) {
      checkPixels("image", wanted, each);
      if (channels === 1 || channels === 3) continue;
      throw new TypeError(
        `\`image\`: the adapter reads ${channels} channels (in_channels), which no picture has; give a Tensor`,
      );
    }
    const { dtype, shape } = each;
    if (dtype === "int32" || ![3, 4].includes(shape.length)) throw new RangeError(`${wanted}, got ${String(each)}`);
    if (each.device !== device) throw new TypeError(`${wanted}, on the pipeline's device, but it is on another`);
    if (shape.at(-3) !== channels)
      throw new RangeError(
        `\`image\`: a Tensor must have the adapter's ${channels} channels (in_channels), got ${String(each)}`,
      );
  }
  const [first, ...others] = tensors.map((each) => (each as Tensor).shape.slice(-2).join(" x "));
  const other = others.find((each) => each !== first);
  if (other !== undefined)
    throw new RangeError(`\`image\`: the tensors of a list must have one size, got ${first} and ${other}`);
  return { pictures: pictures as readonly AdapterImage[], channels };
}

/** Pixels of the first picture. */
export function sizeOfFirst({ pictures: [first] }: AdapterImages): { height: number; width: number } {
  if (!(first instanceof Tensor)) return { height: first.height, width: first.width };
  const [height, width] = first.shape.slice(-2);
  return { height, width };
}

/** How many there are. */
export const countOf = ({ pictures }: AdapterImages): number =>
  pictures.reduce((sum, each) => sum + (each instanceof Tensor && each.shape.length === 4 ? each.shape[0] : 1), 0);

/**
 * As an adapter takes them: [batch, channels, height, width] in [0, 1], the caller's (or its scope's). Pictures get the size by Lanczos'
 * filter, grey where the adapter reads one channel; tensors, which are not disposed, have it.
 */
export function adapterTensor(
  device: Device,
  { pictures, channels }: AdapterImages,
  { height, width }: { height: number; width: number },
): Tensor {
  const shape = [channels, height, width];
  if (pictures[0] instanceof Tensor)
    return device.scope(() =>
      (pictures as readonly Tensor[])
        .map((each) => each.reshape([each.size / (channels * height * width), ...shape]))
        .reduce((all, each) => concat(all, each, 0)),
    );
  const values = new Float32Array(pictures.length * channels * height * width);
  for (const [i, picture] of (pictures as readonly PixelSource[]).entries()) {
    const pixels = channels === 1 ? greyOf(rgbOf(picture)) : rgbOf(picture);
    const sized = resample(pixels, [picture.width, picture.height], [width, height], channels);
    const size = height * width;
    for (let k = 0; k < sized.length; k++)
      values[(i * channels + (k % channels)) * size + Math.floor(k / channels)] = Math.fround(sized[k] / 255);
  }
  return Tensor.from(values, [pictures.length, ...shape], { device });
}
