/** Pictures that a call takes: VaeImageProcessor.preprocess, diffusers/image_processor.py. */
import type { Device } from "../../tensor/device.js";
import { Tensor } from "../../tensor/tensor.js";
import { checkPixels, listOf, rgbOf, type PixelSource } from "./pixels.js";
import { joined, nearest, type Planes } from "./planes.js";
import { resample } from "./resample.js";

/**
 * A picture, or a Tensor of pictures in [0, 1]: [batch, 3, height, width], [batch, height, width, 3], or one of them without the batch.
 * A Tensor with the VAE's latent channels, [batch, 4, height, width], is of latents and not encoded again.
 */
export type ImageInput = PixelSource | Tensor;

/**
 * @param argument as which the caller gave it
 * @throws TypeError, RangeError for what is no picture, before anything is drawn
 */
export function checkImages(
  image: unknown,
  device: Device,
  argument = "image",
): asserts image is ImageInput | readonly ImageInput[] {
  const wanted =
    `\`${argument}\` must be a picture { width, height, data } (RawImage, ImageData), a Tensor [batch, 3, height, width] in ` +
    "[0, 1], or a list of one of them";
  const list = listOf(image);
  if (list.length === 0) throw new TypeError(`${wanted}, got an empty list`);
  const tensors = list.filter((each) => each instanceof Tensor);
  if (tensors.length > 0 && tensors.length < list.length) throw new TypeError(`${wanted}, got a list of both`);
  for (const each of list)
    if (each instanceof Tensor) {
      if (each.dtype === "int32" || ![3, 4].includes(each.shape.length))
        throw new RangeError(`${wanted}, got ${String(each)}`);
      if (each.device !== device) throw new TypeError(`${wanted}, on the pipeline's device, but it is on another`);
    } else checkPixels(argument, wanted, each);
}

/** How pictures are made as large as the model takes them. */
export interface Sizing {
  /** Cuts both sides down to multiples of it; all of a list get the size of the first. */
  scaleFactor: number;
  /** The size to get instead, of all; a side that is not given is the picture's. */
  size?: readonly [width: number | undefined, height: number | undefined];
  /** How a picture gets it. Default Lanczos' filter, whatever the proportions. */
  fit?: Fit;
  /** Whether numbers are taken from [0, 1] to [-1, 1], as VAEs want them. Default true. */
  normalize?: boolean;
  /** For messages: as which the caller gave the pictures. */
  argument?: string;
}

/** @returns RGB of `size`, row by row */
export type Fit = (image: PixelSource, size: readonly [width: number, height: number]) => Uint8ClampedArray;

export const stretch: Fit = (image, size) => resample(rgbOf(image), [image.width, image.height], size, 3);

/** As stretch, by the filter of the upscalers. */
export const bicubic: Fit = (image, size) => resample(rgbOf(image), [image.width, image.height], size, 3, "bicubic");

/**
 * @param image checked by checkImages(); tensors are not disposed, and get their size by the nearest pixel, as in diffusers
 * @param sizing latentChannels: of tensors that are taken as they are
 * @throws RangeError for tensors of different sizes, or of neither 3 nor `latentChannels` channels
 */
export async function preprocess(
  image: ImageInput | readonly ImageInput[],
  { latentChannels, ...sizing }: Sizing & { latentChannels?: number },
): Promise<Planes> {
  const list = listOf(image) as readonly ImageInput[];
  if (!(list[0] instanceof Tensor)) return fromPixels(list as readonly PixelSource[], sizing);
  const { argument = "image" } = sizing;
  const read = await Promise.all((list as readonly Tensor[]).map((each) => planesOf(each, latentChannels, argument)));
  const [{ shape: first }] = read;
  if (read.some(({ shape }) => shape.slice(1).join() !== first.slice(1).join()))
    throw new RangeError(`\`${argument}\`: the tensors of a list must have one size`);
  const shape = [read.reduce((sum, each) => sum + each.shape[0], 0), first[1], first[2], first[3]] as const;
  const values = joined(read.map((each) => each.values));
  if (shape[1] === latentChannels) return { values, shape };
  const [width, height] = sizeOf(sizing, shape[3], shape[2]);
  const sized = nearest({ values, shape }, height, width);
  if (sizing.normalize === false) return sized;
  if (sized.values.some((x) => x < 0)) {
    console.warn(
      `Passing \`${argument}\` as a Tensor with values in [-1, 1] is deprecated: [0, 1] is expected. It is taken as it is, as in diffusers.`,
    );
    return sized;
  }
  return { values: sized.values.map((x) => 2 * x - 1), shape: sized.shape };
}

const sizeOf = (
  { scaleFactor, size: [givenWidth, givenHeight] = [undefined, undefined] }: Sizing,
  width: number,
  height: number,
): readonly [number, number] => [
  givenWidth ?? width - (width % scaleFactor),
  givenHeight ?? height - (height % scaleFactor),
];

function fromPixels(images: readonly PixelSource[], sizing: Sizing): Planes {
  const { fit = stretch, normalize = true, argument = "image" } = sizing;
  const [width, height] = sizeOf(sizing, images[0].width, images[0].height);
  if (width === 0 || height === 0)
    throw new RangeError(`\`${argument}\` is too small: ${images[0].width}x${images[0].height} pixels`);
  const size = width * height;
  const values = new Float32Array(images.length * 3 * size);
  for (const [i, image] of images.entries()) {
    const rgb = fit(image, [width, height]);
    for (let c = 0; c < 3; c++)
      for (let p = 0; p < size; p++) {
        const value = Math.fround(rgb[3 * p + c] / 255);
        values[(i * 3 + c) * size + p] = normalize ? 2 * value - 1 : value;
      }
  }
  return { values, shape: [images.length, 3, height, width] };
}

/** A side that was given, down to a multiple of the scale factor. */
export const cutSide = <Side extends number | undefined>(side: Side, scaleFactor: number): Side =>
  side === undefined ? side : ((side - (side % scaleFactor)) as Side);

/**
 * Pixels of what preprocess() gives, or of what it stands for where it is of latents.
 * @param image checked by checkImages()
 * @param given sides that were asked for, if any
 */
export function processedSize(
  image: ImageInput | readonly ImageInput[],
  { latentChannels, scaleFactor }: { latentChannels: number; scaleFactor: number },
  given: { height?: number; width?: number } = {},
): { height: number; width: number } {
  const [first] = listOf(image) as readonly ImageInput[];
  const { shape } =
    first instanceof Tensor ? layoutOf(first, latentChannels, "image") : { shape: [1, 3, first.height, first.width] };
  const [, channels, height, width] = shape;
  const pixels = channels === latentChannels ? scaleFactor : 1;
  const [w, h] = sizeOf({ scaleFactor }, pixels * width, pixels * height);
  return { height: cutSide(given.height, scaleFactor) ?? h, width: cutSide(given.width, scaleFactor) ?? w };
}

/** How a tensor's pictures lie. @throws RangeError where they have neither 3 nor `latentChannels` channels */
function layoutOf(
  tensor: Tensor,
  latentChannels: number | undefined,
  argument: string,
): { shape: Planes["shape"]; byPixel: boolean } {
  const [batch, a, b, c] = tensor.shape.length === 3 ? [1, ...tensor.shape] : tensor.shape;
  if (a === 3 || a === latentChannels) return { shape: [batch, a, b, c], byPixel: false };
  if (c === 3) return { shape: [batch, 3, a, b], byPixel: true };
  throw new RangeError(
    `\`${argument}\`: a Tensor must have 3 channels${latentChannels ? ` (or ${latentChannels}, of latents)` : ""}, got ${String(tensor)}`,
  );
}

/** A tensor's numbers, planes of each channel one after another. */
async function planesOf(tensor: Tensor, latentChannels: number | undefined, argument: string): Promise<Planes> {
  const { shape, byPixel } = layoutOf(tensor, latentChannels, argument);
  const data = Float32Array.from(await tensor.data());
  if (!byPixel) return { values: data, shape };
  const [, , height, width] = shape;
  const values = new Float32Array(data.length);
  for (let i = 0; i < data.length; i++) {
    const pixel = Math.floor(i / 3);
    const image = Math.floor(pixel / (height * width));
    values[(image * 3 + (i % 3)) * height * width + (pixel % (height * width))] = data[i];
  }
  return { values, shape };
}
