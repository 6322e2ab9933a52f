import { inNode } from "../../arguments/environment.js";
import { shown } from "../../arguments/shown.js";
import { encodePNG, type Channels } from "./png.js";
import { decodePNG } from "./png_decode.js";

/** A finished picture on the CPU: 8 bits per channel, to be saved, shown on a canvas, or begun with (image to image). */
export class RawImage {
  /**
   * @param data row by row from the top, one byte each
   * @param channels bytes per pixel: 3 for RGB, 1 for grey, 4 for RGBA
   * @throws RangeError unless there are as many bytes
   */
  constructor(
    readonly width: number,
    readonly height: number,
    readonly data: Uint8ClampedArray<ArrayBuffer>,
    readonly channels: Channels = 3,
  ) {
    const size = channels * width * height;
    if (data.length !== size)
      throw new RangeError(`RawImage: ${width}x${height} pixels need ${size} bytes, got ${data.length}`);
  }

  /**
   * Pictures from numbers in [0, 1], rounded as diffusers' numpy_to_pil does.
   * @param values [batch, height, width, channels]
   * @throws RangeError for other numbers of channels than 1, 3 and 4
   */
  static fromUnit(values: ArrayLike<number>, [batch, height, width, channels]: readonly number[]): RawImage[] {
    if (channels !== 1 && channels !== 3 && channels !== 4)
      throw new RangeError(`RawImage: takes 1, 3 or 4 channels, got ${channels}`);
    const size = height * width * channels;
    return Array.from({ length: batch }, (_, image) => {
      // Uint8ClampedArray rounds half to even, as numpy.round does.
      const data = new Uint8ClampedArray(size);
      for (let i = 0; i < size; i++) data[i] = Math.fround(values[image * size + i] * 255);
      return new RawImage(width, height, data, channels);
    });
  }

  /**
   * A picture of a PNG file's bytes, as they are in the file: grey, RGB or RGBA.
   * @throws RangeError for what is no PNG, is damaged or interlaced
   */
  static fromPNG(bytes: Uint8Array): RawImage {
    const { width, height, data, channels } = decodePNG(bytes);
    return new RawImage(width, height, data, channels);
  }

  /** Reads a PNG file (Node), as Python's Image.open. @throws RangeError as fromPNG() does */
  static async open(path: string): Promise<RawImage> {
    if (!inNode())
      throw new Error("RawImage.open: a browser has no file system; use fromPNG(), or give a canvas' ImageData");
    const { readFile } = await import("../loading/files_node.js");
    const bytes = await readFile(path);
    try {
      return RawImage.fromPNG(bytes);
    } catch (cause) {
      throw new RangeError(`${path}: ${(cause as Error).message}`, { cause });
    }
  }

  /** The bytes of a PNG file. */
  toPNG(): Uint8Array<ArrayBuffer> {
    return encodePNG(this.data, this.width, this.height, this.channels);
  }

  /**
   * Writes a PNG file (Node), replacing one of that name.
   * @throws RangeError for a name that does not end in .png: the extension chooses the format, as in Python
   */
  async save(path: string): Promise<void> {
    if (!/\.png$/i.test(String(path)))
      throw new RangeError(`RawImage.save: only PNG is written, so the name must end in .png, got ${shown(path)}`);
    if (!inNode()) throw new Error("RawImage.save: a browser has no file system; use toPNG() or toBlob()");
    const { writeFile } = await import("../loading/files_node.js");
    await writeFile(path, this.toPNG());
  }

  /** RGBA pixels. */
  toRGBA(): Uint8ClampedArray<ArrayBuffer> {
    const { data, channels } = this;
    const rgba = new Uint8ClampedArray((data.length / channels) * 4);
    for (let from = 0, to = 0; from < data.length; from += channels, to += 4) {
      for (let c = 0; c < 3; c++) rgba[to + c] = data[channels === 1 ? from : from + c];
      rgba[to + 3] = channels === 4 ? data[from + 3] : 255;
    }
    return rgba;
  }

  /** For a canvas' putImageData (browsers). */
  toImageData(): ImageData {
    if (typeof ImageData === "undefined")
      throw new Error("RawImage.toImageData: there is no ImageData here; use toRGBA() or toPNG()");
    return new ImageData(this.toRGBA(), this.width, this.height);
  }

  /** A PNG as a Blob, e.g. for URL.createObjectURL. */
  toBlob(type: "image/png" = "image/png"): Blob {
    if (type !== "image/png") throw new RangeError(`RawImage.toBlob: makes "image/png" only, got ${shown(type)}`);
    return new Blob([this.toPNG()], { type });
  }
}
