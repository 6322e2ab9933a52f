/** Pictures as a call takes them, on the CPU. */
import { noTensor } from "../../tensor/no_tensor.js";

/** A RawImage, a canvas' ImageData, or what a decoder gives: rows from the top, one byte each for grey, RGB or RGBA (alpha is ignored). */
export interface PixelSource {
  readonly width: number;
  readonly height: number;
  readonly data: ArrayLike<number>;
}

export const listOf = (image: unknown): readonly unknown[] => (Array.isArray(image) ? (image as unknown[]) : [image]);

/**
 * @param name of the argument
 * @param wanted what it may be, for messages
 * @throws TypeError, RangeError for what is no picture
 */
export function checkPixels(name: string, wanted: string, image: unknown): asserts image is PixelSource {
  const { width, height, data } = (image ?? {}) as Partial<PixelSource>;
  const isSide = (n: unknown): n is number => Number.isSafeInteger(n) && (n as number) > 0;
  if (!isSide(width) || !isSide(height) || typeof data?.length !== "number")
    throw new TypeError(`${wanted}, got ${noTensor(image)}`);
  if (![1, 3, 4].includes(data.length / width / height))
    throw new RangeError(
      `\`${name}\`: ${width}x${height} pixels of 1, 3 or 4 bytes each are wanted, got ${data.length} numbers`,
    );
}

/** As Pillow's convert("RGB"): grey is repeated, alpha dropped. */
export function rgbOf({ width, height, data }: PixelSource): Uint8ClampedArray {
  const channels = data.length / width / height;
  if (channels === 3) return Uint8ClampedArray.from(data);
  const rgb = new Uint8ClampedArray(3 * width * height);
  for (let p = 0; p < width * height; p++)
    for (let c = 0; c < 3; c++) rgb[3 * p + c] = data[channels === 1 ? p : channels * p + c];
  return rgb;
}

/** As Pillow's convert("L"): the luma of ITU-R 601-2. */
export function greyOf(rgb: Uint8ClampedArray): Uint8ClampedArray {
  return Uint8ClampedArray.from(
    { length: rgb.length / 3 },
    (_, p) => (19595 * rgb[3 * p] + 38470 * rgb[3 * p + 1] + 7471 * rgb[3 * p + 2] + 0x8000) >> 16,
  );
}
