/** What RePaint takes: _preprocess_image and _preprocess_mask of diffusers/pipelines/deprecated/repaint/pipeline_repaint.py. */
import type { Device } from "../../tensor/device.js";
import { Tensor } from "../../tensor/tensor.js";
import { checkImages, preprocess, type Fit } from "../images/image_processor.js";
import { checkMasks, preprocessMask } from "../images/mask_processor.js";
import { listOf, rgbOf, type PixelSource } from "../images/pixels.js";
import { joined, type Planes } from "../images/planes.js";

/** Sides of pictures are cut to multiples of it, those of masks to multiples of the other. */
const PICTURE_FACTOR = 8;
const MASK_FACTOR = 32;

/** As Pillow's Image.resize(size, NEAREST). */
const nearestPixel: Fit = (image, [width, height]) => {
  const rgb = rgbOf(image);
  const result = new Uint8ClampedArray(3 * width * height);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      const [fromX, fromY] = [
        Math.floor((x + 0.5) * (image.width / width)),
        Math.floor((y + 0.5) * (image.height / height)),
      ];
      for (let c = 0; c < 3; c++) result[3 * (y * width + x) + c] = rgb[3 * (fromY * image.width + fromX) + c];
    }
  return result;
};

/** Pictures in [-1, 1], and masks [1 or batch, 1, height, width] that are 1 where the picture stays. */
export interface RepaintSource {
  image: Planes;
  mask: Planes;
}

/**
 * @param image pictures, or tensors [batch, channels, height, width] in [-1, 1], which are taken as they are
 * @param mask pictures, white where the picture stays, or tensors [1 or batch, 1, height, width] of 0 to 1
 * @throws TypeError, RangeError for what is no picture, or no mask of its size
 */
export async function repaintSource(image: unknown, mask: unknown, device: Device): Promise<RepaintSource> {
  checkImages(image, device);
  checkMasks(mask, device);
  const source = {
    image: (await planesOf("image", image)) ?? (await preprocess(image, { scaleFactor: PICTURE_FACTOR })),
    mask: (await planesOf("maskImage", mask)) ?? (await preprocessMask(mask, maskSize(mask), nearestPixel)),
  };
  const [pictures, masks] = [source.image.shape, source.mask.shape];
  if (![1, pictures[0]].includes(masks[0]) || masks[1] !== 1 || pictures.slice(2).join() !== masks.slice(2).join())
    throw new RangeError(
      `\`maskImage\`: [${masks.join(", ")}] does not go with pictures [${pictures.join(", ")}]: one mask is wanted, or one per ` +
        `picture, of their size; sides of pictures are cut to multiples of ${PICTURE_FACTOR}, those of masks to multiples of ${MASK_FACTOR}`,
    );
  return source;
}

/** Of tensors; null of pictures. */
async function planesOf(name: string, given: unknown): Promise<Planes | null> {
  const tensors = listOf(given).filter((each): each is Tensor => each instanceof Tensor);
  if (tensors.length === 0) return null;
  const [{ shape: first }] = tensors;
  for (const { shape } of tensors)
    if (shape.length !== 4 || shape.slice(1).join() !== first.slice(1).join())
      throw new RangeError(
        `\`${name}\`: tensors must be [batch, channels, height, width], of one size, got [${shape.join(", ")}]`,
      );
  const parts = await Promise.all(tensors.map((each) => each.data()));
  const [, channels, height, width] = first;
  const batch = tensors.reduce((sum, { shape }) => sum + shape[0], 0);
  return { values: joined(parts.map((part) => Float32Array.from(part))), shape: [batch, channels, height, width] };
}

function maskSize(mask: unknown): [width: number, height: number] {
  const { width, height } = listOf(mask)[0] as PixelSource;
  if (width < MASK_FACTOR || height < MASK_FACTOR)
    throw new RangeError(`\`maskImage\` is too small: ${width}x${height} pixels, ${MASK_FACTOR} a side are needed`);
  return [width - (width % MASK_FACTOR), height - (height % MASK_FACTOR)];
}
