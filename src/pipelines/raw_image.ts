/** A finished picture on the CPU. */
import { encodePNG } from "./png.js";

export class RawImage {
  /** Bytes per pixel. */
  readonly channels = 3;

  /** @param data RGB, row by row from the top, one byte each */
  constructor(
    readonly width: number,
    readonly height: number,
    readonly data: Uint8ClampedArray<ArrayBuffer>,
  ) {
    if (data.length !== 3 * width * height)
      throw new RangeError(`RawImage: ${width}x${height} pixels need ${3 * width * height} bytes, got ${data.length}`);
  }

  /** Pictures from numbers in [0, 1], rounded as diffusers' numpy_to_pil does. @param values [batch, height, width, 3] */
  static fromUnit(values: ArrayLike<number>, [batch, height, width, channels]: readonly number[]): RawImage[] {
    if (channels !== 3) throw new RangeError(`RawImage: takes 3 channels, got ${channels}`);
    const size = height * width * 3;
    return Array.from({ length: batch }, (_, image) => {
      // Uint8ClampedArray rounds half to even, as numpy.round does.
      const data = new Uint8ClampedArray(size);
      for (let i = 0; i < size; i++) data[i] = Math.fround(values[image * size + i] * 255);
      return new RawImage(width, height, data);
    });
  }

  /** The bytes of a PNG file. */
  toPNG(): Uint8Array<ArrayBuffer> {
    return encodePNG(this.data, this.width, this.height, 3);
  }

  /** Writes a PNG file (Node), replacing one of that name. */
  async save(path: string): Promise<void> {
    if (typeof process === "undefined" || !process.versions?.node)
      throw new Error("RawImage.save: a browser has no file system; use toPNG() or toBlob()");
    const { writeFile } = await import("./files_node.js");
    await writeFile(path, this.toPNG());
  }

  /** RGBA pixels. */
  toRGBA(): Uint8ClampedArray<ArrayBuffer> {
    const rgba = new Uint8ClampedArray((this.data.length / 3) * 4);
    for (let from = 0, to = 0; from < this.data.length; from += 3, to += 4) {
      rgba.set(this.data.subarray(from, from + 3), to);
      rgba[to + 3] = 255;
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
  toBlob(): Blob {
    return new Blob([this.toPNG()], { type: "image/png" });
  }
}
