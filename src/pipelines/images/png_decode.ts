/** A PNG decoder for 8 bits per channel (W3C PNG, third edition), the counterpart of png.ts; inflate by fflate. */
import { unzlibSync } from "fflate";
import { COLOUR_TYPES, crc32, FILTERS, SIGNATURE, type Channels } from "./png.js";

export interface DecodedPNG {
  width: number;
  height: number;
  channels: Channels;
  data: Uint8ClampedArray<ArrayBuffer>;
}

/** Beyond it a file of some kilobytes could ask for gigabytes. */
const MOST_PIXELS = 2 ** 26;

interface Header {
  width: number;
  height: number;
  /** Samples per pixel in the file: a palette's index is one. */
  samples: number;
  bits: number;
  isIndexed: boolean;
}

/**
 * @returns grey, RGB or RGBA; a palette's colours as RGB, 16 bits cut down to 8, fewer bits spread over 8; grey with alpha as RGBA.
 *   Colour spaces, and opacity by tRNS, are left out of account
 * @throws RangeError for what is no PNG, is damaged, interlaced or too large
 */
export function decodePNG(bytes: Uint8Array): DecodedPNG {
  let header: Header | undefined;
  let palette: Uint8Array | undefined;
  const pixels: Uint8Array[] = [];
  for (const { type, data } of chunksOf(bytes))
    if (type === "IHDR") header = readHeader(data);
    else if (type === "PLTE") palette = data;
    else if (type === "IDAT") pixels.push(data);
  if (!header || pixels.length === 0) throw new RangeError("PNG: the file has no picture in it");
  if (header.isIndexed && !palette) throw new RangeError("PNG: the palette is missing");
  const { width, height } = header;
  const raw = toBytes(unfilter(inflate(pixels, header), header), header);
  if (palette) {
    if (raw.some((index) => 3 * index + 3 > palette.length))
      throw new RangeError("PNG: a colour is not in the palette");
    if (header.isIndexed)
      return {
        width,
        height,
        channels: 3,
        data: Uint8ClampedArray.from(
          { length: 3 * raw.length },
          (_, i) => palette[3 * raw[Math.floor(i / 3)] + (i % 3)],
        ),
      };
  }
  if (header.samples !== 2) return { width, height, channels: header.samples as Channels, data: raw };
  const data = Uint8ClampedArray.from({ length: 2 * raw.length }, (_, i) => raw[2 * (i >> 2) + (i % 4 === 3 ? 1 : 0)]);
  return { width, height, channels: 4, data };
}

function* chunksOf(bytes: Uint8Array): Generator<{ type: string; data: Uint8Array }> {
  if (SIGNATURE.some((byte, i) => bytes[i] !== byte))
    throw new RangeError("PNG: this is no PNG file; decode others yourself and give { width, height, data }");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = SIGNATURE.length; at < bytes.length;) {
    const size = at + 12 <= bytes.length ? view.getUint32(at) : Infinity;
    if (at + 12 + size > bytes.length) throw new RangeError("PNG: the file is cut off");
    const body = bytes.subarray(at + 4, at + 8 + size);
    if (crc32(body) !== view.getUint32(at + 8 + size)) throw new RangeError("PNG: the file is damaged");
    const type = String.fromCharCode(...body.subarray(0, 4));
    if (type === "IEND") return;
    yield { type, data: body.subarray(4) };
    at += 12 + size;
  }
  throw new RangeError("PNG: the file is cut off");
}

/** Samples by PNG's colour types. */
const SAMPLES: Readonly<Record<number, number>> = { ...invert(COLOUR_TYPES), 3: 1, 4: 2 };

function invert(types: Readonly<Record<number, number>>): Record<number, number> {
  return Object.fromEntries(Object.entries(types).map(([channels, type]) => [type, Number(channels)]));
}

function readHeader(data: Uint8Array): Header {
  if (data.length !== 13) throw new RangeError("PNG: the header is damaged");
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const [width, height] = [view.getUint32(0), view.getUint32(4)];
  const [bits, type, compression, filter, interlaced] = data.subarray(8);
  const samples = SAMPLES[type] as number | undefined;
  const known = samples === 1 ? [1, 2, 4, 8, ...(type === 3 ? [] : [16])] : [8, 16];
  if (width === 0 || height === 0 || !samples || !known.includes(bits) || compression !== 0 || filter !== 0)
    throw new RangeError("PNG: the header is damaged");
  if (interlaced !== 0) throw new RangeError("PNG: interlaced pictures are not read; save it without");
  if (width * height > MOST_PIXELS) throw new RangeError(`PNG: ${width}x${height} pixels are more than ${MOST_PIXELS}`);
  return { width, height, samples, bits, isIndexed: type === 3 };
}

/** Bytes of a row, without that of its filter. */
const strideOf = ({ width, samples, bits }: Header): number => Math.ceil((width * samples * bits) / 8);

function inflate(parts: readonly Uint8Array[], header: Header): Uint8Array {
  const packed = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    packed.set(part, at);
    at += part.length;
  }
  const size = header.height * (strideOf(header) + 1);
  let rows: Uint8Array;
  try {
    // Room for as much as there should be: what inflates to more is an error, not a larger buffer.
    rows = unzlibSync(packed, { out: new Uint8Array(size) });
  } catch (cause) {
    throw new RangeError("PNG: the pixels are damaged", { cause });
  }
  if (rows.length !== size) throw new RangeError("PNG: the pixels are damaged");
  return rows;
}

function unfilter(rows: Uint8Array, header: Header): Uint8Array {
  const stride = strideOf(header);
  const step = Math.max(1, (header.samples * header.bits) / 8);
  const out = new Uint8Array(header.height * stride);
  for (let y = 0; y < header.height; y++) {
    const guess = FILTERS[rows[y * (stride + 1)]] as (typeof FILTERS)[number] | undefined;
    if (!guess) throw new RangeError("PNG: the pixels are damaged");
    for (let i = 0, to = y * stride; i < stride; i++, to++) {
      const left = i < step ? 0 : out[to - step];
      const up = y === 0 ? 0 : out[to - stride];
      const corner = y === 0 || i < step ? 0 : out[to - stride - step];
      out[to] = rows[y * (stride + 1) + 1 + i] + guess(left, up, corner);
    }
  }
  return out;
}

/** One byte per sample. A palette's index stays as it is. */
function toBytes(packed: Uint8Array, header: Header): Uint8ClampedArray<ArrayBuffer> {
  const { width, height, samples, bits, isIndexed } = header;
  if (bits === 8) return Uint8ClampedArray.from(packed);
  const stride = strideOf(header);
  const scale = isIndexed ? 1 : 255 / (2 ** bits - 1);
  return Uint8ClampedArray.from({ length: width * height * samples }, (_, i) => {
    const [row, column] = [Math.floor(i / width / samples) * stride, i % (width * samples)];
    if (bits === 16) return packed[row + 2 * column];
    const bit = column * bits;
    return ((packed[row + (bit >> 3)] >> (8 - bits - (bit & 7))) & (2 ** bits - 1)) * scale;
  });
}
