/** A PNG encoder for 8-bit grey, RGB and RGBA (W3C PNG, third edition); deflate by fflate. */
import { zlibSync } from "fflate";

export const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  let c = n;
  for (let k = 0; k < 8; k++) c = c & 1 ? 0xedb88320 ^ (c >>> 1) : c >>> 1;
  return c;
});

export function crc32(bytes: Uint8Array): number {
  let c = 0xffffffff;
  for (const byte of bytes) c = CRC_TABLE[(c ^ byte) & 255] ^ (c >>> 8);
  return (c ^ 0xffffffff) >>> 0;
}

function chunk(type: string, data: Uint8Array): Uint8Array {
  const out = new Uint8Array(12 + data.length);
  const view = new DataView(out.buffer);
  view.setUint32(0, data.length);
  for (let i = 0; i < 4; i++) out[4 + i] = type.charCodeAt(i);
  out.set(data, 8);
  view.setUint32(8 + data.length, crc32(out.subarray(4, 8 + data.length)));
  return out;
}

/** PNG's filters: each byte minus a guess from its left (a), upper (b) and upper-left (c) neighbour. */
export const FILTERS: ((a: number, b: number, c: number) => number)[] = [
  () => 0,
  (a) => a,
  (_, b) => b,
  (a, b) => (a + b) >> 1,
  (a, b, c) => {
    const [pa, pb, pc] = [Math.abs(b - c), Math.abs(a - c), Math.abs(a + b - 2 * c)];
    return pa <= pb && pa <= pc ? a : pb <= pc ? b : c;
  },
];

/** Rows with their filter bytes; each row takes the filter with the least sum of absolute differences. */
function filterRows(data: ArrayLike<number>, width: number, height: number, channels: number): Uint8Array {
  const stride = width * channels;
  const out = new Uint8Array(height * (stride + 1));
  const row = new Uint8Array(stride);
  for (let y = 0; y < height; y++) {
    const at = (i: number, dy: number): number => (i < 0 || y + dy < 0 ? 0 : data[(y + dy) * stride + i]);
    let best = Infinity;
    FILTERS.forEach((guess, type) => {
      let cost = 0;
      for (let i = 0; i < stride; i++) {
        const value = (at(i, 0) - guess(at(i - channels, 0), at(i, -1), i < channels ? 0 : at(i - channels, -1))) & 255;
        row[i] = value;
        cost += value < 128 ? value : 256 - value;
      }
      if (cost >= best) return;
      best = cost;
      out[y * (stride + 1)] = type;
      out.set(row, y * (stride + 1) + 1);
    });
  }
  return out;
}

/** Bytes per pixel of grey, RGB and RGBA pictures, with PNG's names of them. */
export const COLOUR_TYPES = { 1: 0, 3: 2, 4: 6 } as const;
export type Channels = keyof typeof COLOUR_TYPES;

/** @param data rows of `channels` bytes per pixel */
export function encodePNG(
  data: ArrayLike<number>,
  width: number,
  height: number,
  channels: Channels,
): Uint8Array<ArrayBuffer> {
  const header = new Uint8Array(13);
  const view = new DataView(header.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  header.set([8, COLOUR_TYPES[channels], 0, 0, 0], 8);
  const pixels = zlibSync(filterRows(data, width, height, channels), { level: 6 });
  const parts = [
    Uint8Array.from(SIGNATURE),
    chunk("IHDR", header),
    chunk("IDAT", pixels),
    chunk("IEND", new Uint8Array(0)),
  ];
  const out = new Uint8Array(parts.reduce((n, part) => n + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    out.set(part, offset);
    offset += part.length;
  }
  return out;
}
