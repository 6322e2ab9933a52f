import { quote } from "./errors.js";
import { JSONScanner } from "./json.js";
import { DTYPE_BITS, type SafetensorsDtype } from "./safetensors_dtype.js";

/** One tensor of a file. `start` and `end` are absolute offsets in the file; the bytes are little-endian, row-major. */
export interface SafetensorsEntry {
  name: string;
  dtype: SafetensorsDtype;
  shape: number[];
  start: number;
  end: number;
}

/** `entries` in the order of the header, not of the offsets. */
export interface SafetensorsHeader {
  entries: Map<string, SafetensorsEntry>;
  metadata: Map<string, string>;
}

const MAX_U64 = (1n << 64n) - 1n;
const MAX_RANK = 8;
const MAX_NAME = 512;
/** Tensors, and entries of the metadata: a model has thousands. A header of as many is judged within a second. */
const MAX_ENTRIES = 20_000;

/**
 * Parses the JSON of a header and checks that the tensors cover the data exactly, without overlap or hole, in the way of
 * the reference (safetensors 0.8, Rust). Stricter than it where a file means two things or is absurd: repeated names,
 * tensors written as arrays, dtypes written as objects, unknown fields, rank over 8, names over 512 characters, over
 * 20,000 tensors or entries of the metadata, and `"__metadata__": null`.
 *
 * @param text the header
 * @param dataStart absolute offset of the data behind it
 * @param size bytes of the file
 * @throws SyntaxError with the fault, without the file's name
 */
export function parseHeader(text: string, dataStart: number, size: number): SafetensorsHeader {
  const scanner = new JSONScanner(text);
  const entries = new Map<string, SafetensorsEntry>();
  let metadata: Map<string, string> | undefined;
  let unclaimed = size - dataStart;
  scanner.object((name) => {
    if (name === "__metadata__") {
      if (metadata) scanner.fail("__metadata__ stands twice");
      metadata = readMetadata(scanner);
      return;
    }
    if (name.length > MAX_NAME) scanner.fail(`a tensor's name has ${name.length} characters, more than ${MAX_NAME}`);
    if (entries.size >= MAX_ENTRIES) scanner.fail(`there are more than ${MAX_ENTRIES} tensors`);
    if (entries.has(name)) scanner.fail(`tensor ${quote(name)} stands twice`);
    const entry = readEntry(scanner, name, dataStart);
    // Tensors that claim more than there is overlap or lie outside: stopping here bounds the work on hostile headers.
    unclaimed -= entry.end - entry.start;
    if (unclaimed < 0) {
      throw new SyntaxError(
        `tensor ${quote(name)}: the tensors up to it claim ${size - dataStart - unclaimed} bytes, more than the ` +
          `${size - dataStart} of data; the file is cut, or tensors overlap`,
      );
    }
    entries.set(name, entry);
  });
  scanner.end();
  checkCover(entries, dataStart, size);
  return { entries, metadata: metadata ?? new Map() };
}

function readMetadata(scanner: JSONScanner): Map<string, string> {
  const metadata = new Map<string, string>();
  scanner.object((key) => {
    if (metadata.size >= MAX_ENTRIES) scanner.fail(`__metadata__ has more than ${MAX_ENTRIES} entries`);
    metadata.set(key, scanner.string());
  });
  return metadata;
}

function readEntry(scanner: JSONScanner, name: string, dataStart: number): SafetensorsEntry {
  let dtype: string | undefined;
  let shape: bigint[] | undefined;
  let offsets: bigint[] | undefined;
  const where = `tensor ${quote(name)}`;
  scanner.object((field) => {
    if (field === "dtype" && dtype === undefined) dtype = scanner.string();
    else if (field === "shape" && !shape) shape = readIntegers(scanner, `${where}: shape`, MAX_RANK);
    else if (field === "data_offsets" && !offsets) offsets = readIntegers(scanner, `${where}: data_offsets`, 2);
    else scanner.fail(`${where}: the field ${quote(field)} is unknown or stands twice`);
  });
  if (dtype === undefined) throw new SyntaxError(`${where}: has no dtype`);
  if (!shape) throw new SyntaxError(`${where}: has no shape`);
  if (!offsets) throw new SyntaxError(`${where}: has no data_offsets`);
  const bits = DTYPE_BITS.get(dtype);
  if (bits === undefined) throw new SyntaxError(`${where}: dtype ${quote(dtype)} is not one of safetensors'`);
  const [start, end] = offsets;
  if (offsets.length !== 2 || start > end) {
    throw new SyntaxError(`${where}: data_offsets must be a start and an end behind it, got [${offsets}]`);
  }
  const bytes = byteLength(shape, BigInt(bits), where);
  if (end - start !== bytes) {
    throw new SyntaxError(
      `${where}: ${dtype} [${shape}] takes ${bytes} bytes, data_offsets [${offsets}] span ${end - start}`,
    );
  }
  if (end > BigInt(Number.MAX_SAFE_INTEGER - dataStart)) {
    throw new SyntaxError(`${where}: data_offsets [${offsets}] lie beyond the end of the file`);
  }
  // A dimension over 2^53 survives the checks only beside a 0, and is rounded: there is nothing to read.
  return {
    name,
    dtype: dtype as SafetensorsDtype,
    shape: shape.map(Number),
    start: dataStart + Number(start),
    end: dataStart + Number(end),
  };
}

/** Integers written as integers: JSON.parse would take 2.0, 2e0 and -0 too, and round what is over 2^53. */
function readIntegers(scanner: JSONScanner, where: string, limit: number): bigint[] {
  const values: bigint[] = [];
  scanner.array((index) => {
    if (index >= limit) scanner.fail(`${where} has more than ${limit} numbers`);
    const spelling = scanner.number();
    const value = /^\d+$/.test(spelling) && spelling.length <= 20 ? BigInt(spelling) : -1n;
    if (value < 0n || value > MAX_U64) {
      scanner.fail(`${where}: ${quote(spelling, 30)} is no whole number from 0 to 2^64-1`);
    }
    values.push(value);
  });
  return values;
}

function byteLength(shape: bigint[], bits: bigint, where: string): bigint {
  const product = (a: bigint, b: bigint): bigint => {
    if (a * b > MAX_U64) throw new SyntaxError(`${where}: the size of shape [${shape}] overflows 64 bits`);
    return a * b;
  };
  const total = product(shape.reduce(product, 1n), bits);
  if (total % 8n !== 0n)
    throw new SyntaxError(`${where}: shape [${shape}] of ${bits}-bit numbers fills no whole bytes`);
  return total / 8n;
}

/** No hole, no overlap, nothing behind: what is not a tensor could be anything (a zip, a page, stale secrets). */
function checkCover(entries: Map<string, SafetensorsEntry>, dataStart: number, size: number): void {
  const sorted = [...entries.values()].sort((a, b) => a.start - b.start || a.end - b.end);
  let position = dataStart;
  for (const { name, start, end } of sorted) {
    if (start !== position) {
      const what = start < position ? "overlaps the one before it" : "leaves a hole before it";
      throw new SyntaxError(`tensor ${quote(name)}: ${what}: starts at byte ${start}, expected ${position}`);
    }
    position = end;
  }
  if (position !== size) {
    const what = position > size ? "the file is cut; download it again" : "there are bytes that belong to no tensor";
    throw new SyntaxError(`the tensors end at byte ${position}, the file at ${size}: ${what}`);
  }
}

/** The beginning of a file as safetensors' writer makes it: the header's length, and the header padded with spaces to 8 bytes. */
export function headerBytes(json: string): Uint8Array<ArrayBuffer> {
  const text = new TextEncoder().encode(json);
  const padded = Math.ceil(text.length / 8) * 8;
  const bytes = new Uint8Array(8 + padded).fill(0x20);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(padded), true);
  bytes.set(text, 8);
  return bytes;
}
