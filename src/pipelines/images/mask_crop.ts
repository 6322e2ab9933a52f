/** Inpainting of a small part of a picture at the model's full size: get_crop_region and resize_mode "fill", diffusers/image_processor.py. */
import type { Fit } from "./image_processor.js";
import { greyOf, rgbOf, type PixelSource } from "./pixels.js";
import { drawnOut, resample } from "./resample.js";

/** In pixels; x2 and y2 are the first behind it. */
export interface CropRegion {
  readonly x1: number;
  readonly y1: number;
  readonly x2: number;
  readonly y2: number;
}

/**
 * The rectangle around all that is white, with `padding` pixels on each side, widened to the proportions of the size that is drawn.
 * @throws RangeError for a mask without any white
 */
export function cropRegion(mask: PixelSource, [width, height]: readonly [number, number], padding: number): CropRegion {
  const { width: w, height: h } = mask;
  const grey = greyOf(rgbOf(mask));
  let [left, top, right, bottom] = [w, h, 0, 0];
  for (const [i, value] of grey.entries()) {
    if (value === 0) continue;
    const [x, y] = [i % w, Math.floor(i / w)];
    [left, right] = [Math.min(left, x), Math.max(right, x + 1)];
    [top, bottom] = [Math.min(top, y), Math.max(bottom, y + 1)];
  }
  if (right === 0) throw new RangeError("`maskImage` is black all over: there is nothing to crop to and to draw");
  let [x1, x2] = [Math.max(left - padding, 0), Math.min(right + padding, w)];
  let [y1, y2] = [Math.max(top - padding, 0), Math.min(bottom + padding, h)];
  const proportion = width / height;
  if ((x2 - x1) / (y2 - y1) > proportion) [y1, y2] = widened(y1, y2, (x2 - x1) / proportion, h);
  else [x1, x2] = widened(x1, x2, (y2 - y1) * proportion, w);
  return { x1, y1, x2, y2 };
}

/** A span as long as wanted, moved back into 0 to `limit` and cut where it is longer than that. */
function widened(start: number, end: number, wanted: number, limit: number): [number, number] {
  const more = Math.trunc(wanted - (end - start));
  let [a, b] = [start - Math.floor(more / 2), end + more - Math.floor(more / 2)];
  if (b >= limit) [a, b] = [a - (b - limit), limit];
  if (a < 0) [a, b] = [0, b - a];
  return [a, Math.min(b, limit)];
}

/** Pillow's Image.crop, in RGB: black where a picture is smaller than that of which the region is, as one for a ControlNet may be. */
function crop(image: PixelSource, { x1, y1, x2, y2 }: CropRegion): PixelSource {
  const [width, height] = [x2 - x1, y2 - y1];
  const data = new Uint8ClampedArray(3 * width * height);
  const whole = { width: image.width, height: image.height, data: rgbOf(image) };
  paste(data, [width, height], whole, [-x1, -y1]);
  return { width, height, data };
}

/** The region alone, in its proportions in the middle of the frame; its edges are drawn out to fill the rest. */
export const fitRegion =
  (region: CropRegion): Fit =>
  (image, size) =>
    filled(crop(image, region), size);

function filled(
  { width: w, height: h, data }: PixelSource,
  [width, height]: readonly [number, number],
): Uint8ClampedArray {
  const ratio = width / height;
  const source = w / h;
  const wide = ratio < source ? width : Math.floor((w * height) / h);
  const high = ratio >= source ? height : Math.floor((h * width) / w);
  const resized = resample(data as Uint8ClampedArray, [w, h], [wide, high], 3);
  const left = Math.floor(width / 2) - Math.floor(wide / 2);
  const top = Math.floor(height / 2) - Math.floor(high / 2);
  const frame = new Uint8ClampedArray(3 * width * height);
  const picture = { width: wide, height: high, data: resized };
  paste(frame, [width, height], picture, [left, top]);
  if (ratio < source && top > 0)
    for (const [edge, y] of [
      ["first", 0],
      ["last", top + high],
    ] as const) {
      const strip = drawnOut(resized, high, 3 * wide, { edge, count: top });
      paste(frame, [width, height], { width, height: top, data: strip }, [0, y]);
    }
  else if (ratio > source && left > 0)
    for (const [edge, x] of [
      ["first", 0],
      ["last", left + wide],
    ] as const) {
      const strip = drawnOut(resized, wide, 3, { edge, count: left });
      paste(frame, [width, height], { width: left, height, data: strip }, [x, 0]);
    }
  return frame;
}

/** Pillow's Image.paste of one RGB picture on another: what lies outside is cut off. */
export function paste(
  frame: Uint8ClampedArray,
  [width, height]: readonly [number, number],
  { width: w, height: h, data }: PixelSource,
  [left, top]: readonly [number, number],
): void {
  for (let y = Math.max(0, -top); y < Math.min(h, height - top); y++)
    for (let x = Math.max(0, -left); x < Math.min(w, width - left); x++)
      for (let c = 0; c < 3; c++) frame[3 * ((top + y) * width + left + x) + c] = data[3 * (y * w + x) + c];
}
