/** Pictures that a call takes: VaeImageProcessor.preprocess, diffusers/image_processor.py. */
import type { Device } from "../tensor/device.js";
import { noTensor } from "../tensor/no_tensor.js";
import { Tensor } from "../tensor/tensor.js";
import { resample } from "./resample.js";

/** A RawImage, a canvas' ImageData, or what a decoder gives: rows from the top, one byte each for grey, RGB or RGBA (alpha is ignored). */
export interface PixelSource {
  readonly width: number;
  readonly height: number;
  readonly data: ArrayLike<number>;
}

/**
 * A picture, or a Tensor of pictures in [0, 1]: [batch, 3, height, width], [batch, height, width, 3], or one of them without the batch.
 * A Tensor with the VAE's latent channels, [batch, 4, height, width], is of latents and not encoded again.
 */
export type ImageInput = PixelSource | Tensor;

/** Pictures in [-1, 1], or latents. */
export interface Preprocessed {
  /** [batch, channels, height, width], row by row. */
  values: Float32Array;
  shape: readonly [batch: number, channels: number, height: number, width: number];
}

const WANTED =
  "`image` must be a picture { width, height, data } (RawImage, ImageData), a Tensor [batch, 3, height, width] in [0, 1], or a list of " +
  "one of them";

/** @throws TypeError, RangeError for what is no picture, before anything is drawn */
export function checkImages(image: unknown, device: Device): asserts image is ImageInput | readonly ImageInput[] {
  const list = listOf(image);
  if (list.length === 0) throw new TypeError(`${WANTED}, got an empty list`);
  const tensors = list.filter((each) => each instanceof Tensor);
  if (tensors.length > 0 && tensors.length < list.length) throw new TypeError(`${WANTED}, got a list of both`);
  for (const each of list)
    if (each instanceof Tensor) {
      if (each.dtype === "int32" || ![3, 4].includes(each.shape.length))
        throw new RangeError(`${WANTED}, got ${String(each)}`);
      if (each.device !== device) throw new TypeError(`${WANTED}, on the pipeline's device, but it is on another`);
    } else checkPixels(each);
}

function checkPixels(image: unknown): void {
  const { width, height, data } = (image ?? {}) as Partial<PixelSource>;
  const isSide = (n: unknown): n is number => Number.isSafeInteger(n) && (n as number) > 0;
  if (!isSide(width) || !isSide(height) || typeof data?.length !== "number")
    throw new TypeError(`${WANTED}, got ${noTensor(image)}`);
  if (![1, 3, 4].includes(data.length / width / height))
    throw new RangeError(
      `\`image\`: ${width}x${height} pixels of 1, 3 or 4 bytes each are wanted, got ${data.length} numbers`,
    );
}

const listOf = (image: unknown): readonly unknown[] => (Array.isArray(image) ? (image as unknown[]) : [image]);

/**
 * @param image checked by checkImages(); tensors are not disposed
 * @param scaleFactor sides are cut down to multiples of it: pictures by Lanczos' filter, tensors by the nearest pixel, as in diffusers.
 *   All of a list get the size of the first
 * @throws RangeError for tensors of different sizes, or of neither 3 nor `latentChannels` channels
 */
export async function preprocess(
  image: ImageInput | readonly ImageInput[],
  { scaleFactor, latentChannels }: { scaleFactor: number; latentChannels: number },
): Promise<Preprocessed> {
  const list = listOf(image) as readonly ImageInput[];
  const down = (n: number): number => n - (n % scaleFactor);
  if (!(list[0] instanceof Tensor)) return fromPixels(list as readonly PixelSource[], down);
  const read = await Promise.all((list as readonly Tensor[]).map((each) => planesOf(each, latentChannels)));
  const [{ shape: first }] = read;
  if (read.some(({ shape }) => shape.slice(1).join() !== first.slice(1).join()))
    throw new RangeError("`image`: the tensors of a list must have one size");
  const shape = [read.reduce((sum, each) => sum + each.shape[0], 0), first[1], first[2], first[3]] as const;
  const values = new Float32Array(shape.reduce((a, b) => a * b, 1));
  let at = 0;
  for (const each of read) {
    values.set(each.values, at);
    at += each.values.length;
  }
  if (shape[1] === latentChannels) return { values, shape };
  const sized = nearest({ values, shape }, down(shape[2]), down(shape[3]));
  if (sized.values.some((x) => x < 0)) {
    console.warn(
      "Passing `image` as a Tensor with values in [-1, 1] is deprecated: [0, 1] is expected. It is taken as it is, as in diffusers.",
    );
    return sized;
  }
  return { values: sized.values.map((x) => 2 * x - 1), shape: sized.shape };
}

function fromPixels(images: readonly PixelSource[], down: (n: number) => number): Preprocessed {
  const [width, height] = [down(images[0].width), down(images[0].height)];
  if (width === 0 || height === 0)
    throw new RangeError(`\`image\` is too small: ${images[0].width}x${images[0].height} pixels`);
  const size = width * height;
  const values = new Float32Array(images.length * 3 * size);
  for (const [i, image] of images.entries()) {
    const rgb = resample(rgbOf(image), [image.width, image.height], [width, height], 3);
    for (let c = 0; c < 3; c++)
      for (let p = 0; p < size; p++) values[(i * 3 + c) * size + p] = 2 * Math.fround(rgb[3 * p + c] / 255) - 1;
  }
  return { values, shape: [images.length, 3, height, width] };
}

/** As Pillow's convert("RGB"): grey is repeated, alpha dropped. */
function rgbOf({ width, height, data }: PixelSource): Uint8ClampedArray {
  const channels = data.length / width / height;
  if (channels === 3) return Uint8ClampedArray.from(data);
  const rgb = new Uint8ClampedArray(3 * width * height);
  for (let p = 0; p < width * height; p++)
    for (let c = 0; c < 3; c++) rgb[3 * p + c] = data[channels === 1 ? p : channels * p + c];
  return rgb;
}

/** A tensor's numbers, planes of each channel one after another. */
async function planesOf(tensor: Tensor, latentChannels: number): Promise<Preprocessed> {
  const given = tensor.shape.length === 3 ? [1, ...tensor.shape] : tensor.shape;
  const [batch, a, b, c] = given;
  const data = Float32Array.from(await tensor.data());
  if (a === 3 || a === latentChannels) return { values: data, shape: [batch, a, b, c] };
  if (c !== 3)
    throw new RangeError(
      `\`image\`: a Tensor must have 3 channels (or ${latentChannels}, of latents), got ${String(tensor)}`,
    );
  const values = new Float32Array(data.length);
  for (let i = 0; i < data.length; i++) {
    const pixel = Math.floor(i / 3);
    const image = Math.floor(pixel / (a * b));
    values[(image * 3 + (i % 3)) * a * b + (pixel % (a * b))] = data[i];
  }
  return { values, shape: [batch, 3, a, b] };
}

/** torch.nn.functional.interpolate. */
function nearest({ values, shape }: Preprocessed, height: number, width: number): Preprocessed {
  const [batch, channels, fromHeight, fromWidth] = shape;
  if (height === fromHeight && width === fromWidth) return { values, shape };
  if (height === 0 || width === 0) throw new RangeError(`\`image\` is too small: ${fromWidth}x${fromHeight} pixels`);
  const source = (i: number, from: number, to: number): number =>
    Math.min(Math.floor(Math.fround(i * Math.fround(from / to))), from - 1);
  const result = new Float32Array(batch * channels * height * width);
  let at = 0;
  for (let plane = 0; plane < batch * channels; plane++)
    for (let y = 0; y < height; y++) {
      const row = (plane * fromHeight + source(y, fromHeight, height)) * fromWidth;
      for (let x = 0; x < width; x++) result[at++] = values[row + source(x, fromWidth, width)];
    }
  return { values: result, shape: [batch, channels, height, width] };
}
