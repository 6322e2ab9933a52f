/** The drawn part of a picture back in its place: VaeImageProcessor.apply_overlay, diffusers/image_processor.py. */
import { paste, type CropRegion } from "./mask_crop.js";
import { greyOf, rgbOf, type PixelSource } from "./pixels.js";
import { RawImage } from "./raw_image.js";
import { resample } from "./resample.js";

/** Pillow's DIV255: a product of two bytes to a byte. */
const byte = (product: number): number => {
  const sum = product + 128;
  return ((sum >> 8) + sum) >> 8;
};

/**
 * The original wherever the mask is black, and what was drawn of the region where it is white, to the byte as Pillow does it: the
 * original under the inverted mask, in premultiplied bytes, is laid over the drawn picture.
 * @param drawn the region alone, of the size that was drawn
 */
export function overlay(drawn: RawImage, original: PixelSource, mask: PixelSource, region: CropRegion): RawImage {
  const { width, height } = original;
  const below = new Uint8ClampedArray(3 * width * height);
  paste(below, [width, height], covering(drawn, region), [region.x1, region.y1]);
  const above = rgbOf(original);
  const grey = greyOf(rgbOf(mask));
  const data = new Uint8ClampedArray(below.length);
  for (let i = 0; i < data.length; i++) {
    const alpha = byte(255 * (255 - grey[Math.floor(i / 3)]));
    if (alpha === 0) data[i] = below[i];
    else {
      const premultiplied = byte(above[i] * (255 - grey[Math.floor(i / 3)]));
      const colour = alpha === 255 ? premultiplied : Math.min(255, Math.floor((255 * premultiplied) / alpha));
      data[i] = composite(colour, alpha, below[i]);
    }
  }
  return new RawImage(width, height, data);
}

/** Pillow's alpha_composite on an opaque picture, whose weights are in 1/128 of a byte's 255. */
function composite(colour: number, alpha: number, below: number): number {
  const whole = alpha * 255 + 255 * (255 - alpha);
  const over = Math.floor((alpha * 255 * 255 * 128) / whole);
  const sum = colour * over + below * (255 * 128 - over) + (0x80 << 7);
  return (((sum >> 8) + sum) >> 8) >> 7;
}

/** RGBA over white, in RGB: Pillow's alpha_composite on a white picture. */
export function onWhite(rgba: ArrayLike<number>): Uint8ClampedArray {
  return Uint8ClampedArray.from({ length: (rgba.length / 4) * 3 }, (_, i) => {
    const pixel = 4 * Math.floor(i / 3);
    const alpha = rgba[pixel + 3];
    return alpha === 0 ? 255 : composite(rgba[pixel + (i % 3)], alpha, 255);
  });
}

/** resize_mode "crop": as large as the region or larger, in its own proportions, and what is over is cut off on both sides. */
function covering(drawn: RawImage, { x1, y1, x2, y2 }: CropRegion): PixelSource {
  const [width, height] = [x2 - x1, y2 - y1];
  const ratio = width / height;
  const source = drawn.width / drawn.height;
  const wide = ratio > source ? width : Math.floor((drawn.width * height) / drawn.height);
  const high = ratio <= source ? height : Math.floor((drawn.height * width) / drawn.width);
  const data = resample(rgbOf(drawn), [drawn.width, drawn.height], [wide, high], 3);
  const frame = new Uint8ClampedArray(3 * width * height);
  const place = [Math.floor(width / 2) - Math.floor(wide / 2), Math.floor(height / 2) - Math.floor(high / 2)] as const;
  paste(frame, [width, height], { width: wide, height: high, data }, place);
  return { width, height, data: frame };
}
