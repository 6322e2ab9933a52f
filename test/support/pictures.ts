/** Pictures without files, as scripts/made_pictures.py. */
import { RawImage, Tensor } from "../../src/index.js";

export function pixels(width: number, height: number, channels = 3): Uint8ClampedArray<ArrayBuffer> {
  return Uint8ClampedArray.from({ length: width * height * channels }, (_, i) => {
    const [c, x, y] = [i % channels, Math.floor(i / channels) % width, Math.floor(i / channels / width)];
    return (x * 7 + y * 13 + c * 40 + ((x * y) % 31)) % 256;
  });
}
export const picture = (width: number, height: number): RawImage => new RawImage(width, height, pixels(width, height));

/** [1, height, width, 3] in [0, 1], or [1, 3, height, width]. */
export function tensor(width: number, height: number, layout: "nhwc" | "nchw", scale = 1, offset = 0): Tensor {
  const values = Float32Array.from(pixels(width, height), (x) => scale * Math.fround(x / 255) + offset);
  if (layout === "nhwc") return Tensor.from(values, [1, height, width, 3]);
  const size = width * height;
  const planes = values.map((_, i) => values[3 * (i % size) + Math.floor(i / size)]);
  return Tensor.from(planes, [1, 3, height, width]);
}

/** White in the box (x1, y1, x2, y2), else black; in colours it is yellow, whose grey is white enough, on dark red. */
export function maskPicture(
  width: number,
  height: number,
  [x1, y1, x2, y2]: readonly number[],
  channels: 1 | 3 = 1,
): RawImage {
  const data = Uint8ClampedArray.from({ length: width * height * channels }, (_, i) => {
    const [c, x, y] = [i % channels, Math.floor(i / channels) % width, Math.floor(i / channels / width)];
    const white = x1 <= x && x < x2 && y1 <= y && y < y2 ? 255 : 0;
    if (channels === 1) return white;
    return [Math.max(white, 90), white, 0][c];
  });
  return new RawImage(width, height, data, channels);
}
