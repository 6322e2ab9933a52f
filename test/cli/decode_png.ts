/** A PNG decoder of the tests' own, so that the encoder is not its own judge: 8-bit RGB, no interlace. */
import { inflateSync } from "node:zlib";

export interface Picture {
  width: number;
  height: number;
  /** Red, green and blue at a place. */
  at(x: number, y: number): [red: number, green: number, blue: number];
}

export function decodePNG(file: Buffer): Picture {
  if (file.toString("latin1", 0, 8) !== "\x89PNG\r\n\x1a\n") throw new Error("no PNG signature");
  const parts: Buffer[] = [];
  let header: Buffer | undefined;
  for (let at = 8; at < file.length;) {
    const length = file.readUInt32BE(at);
    const type = file.toString("latin1", at + 4, at + 8);
    const data = file.subarray(at + 8, at + 8 + length);
    if (type === "IHDR") header = data;
    if (type === "IDAT") parts.push(data);
    at += 12 + length;
  }
  if (!header || header.toString("hex", 8) !== "0802000000") throw new Error("not 8-bit RGB without interlace");
  const [width, height] = [header.readUInt32BE(0), header.readUInt32BE(4)];
  const pixels = unfilter(inflateSync(Buffer.concat(parts)), width * 3, height);
  return {
    width,
    height,
    at: (x, y) => [...pixels.subarray(3 * (y * width + x), 3 * (y * width + x) + 3)] as [number, number, number],
  };
}

function unfilter(raw: Buffer, stride: number, height: number): Uint8Array {
  if (raw.length !== height * (stride + 1)) throw new Error(`${raw.length} bytes of pixels in ${height} rows`);
  const out = new Uint8Array(stride * height);
  for (let y = 0; y < height; y++) {
    const type = raw[y * (stride + 1)];
    for (let i = 0; i < stride; i++) {
      const left = i < 3 ? 0 : out[y * stride + i - 3];
      const up = y === 0 ? 0 : out[(y - 1) * stride + i];
      const corner = i < 3 || y === 0 ? 0 : out[(y - 1) * stride + i - 3];
      const guess = [0, left, up, (left + up) >> 1, paeth(left, up, corner)][type];
      if (guess === undefined) throw new Error(`row ${y}: unknown filter ${type}`);
      out[y * stride + i] = raw[y * (stride + 1) + 1 + i] + guess;
    }
  }
  return out;
}

function paeth(a: number, b: number, c: number): number {
  const [pa, pb, pc] = [Math.abs(b - c), Math.abs(a - c), Math.abs(a + b - 2 * c)];
  if (pa <= pb && pa <= pc) return a;
  return pb <= pc ? b : c;
}
