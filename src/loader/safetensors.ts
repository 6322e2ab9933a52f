import { SafetensorsError } from "./errors.js";
import type { RepositoryFile } from "./repository.js";
import { parseHeader, type SafetensorsHeader } from "./safetensors_header.js";
import { sniff } from "./sniff.js";

export { SafetensorsError } from "./errors.js";
export type { SafetensorsEntry, SafetensorsHeader } from "./safetensors_header.js";

/** The reference's bound: a longer header is an attack or no safetensors file. */
const MAX_HEADER = 100_000_000;

/**
 * Reads and checks the header of a safetensors file: 8 bytes of length (u64, little-endian), JSON, then the data
 * (https://github.com/huggingface/safetensors#format). No tensor's bytes are read.
 *
 * @throws SafetensorsError naming the file and the fault, for anything but a well-formed file; pickles, zips, HTML pages,
 *   LFS pointers, gzip data and error bodies are named, with the cure.
 */
export async function readSafetensorsHeader(file: RepositoryFile): Promise<SafetensorsHeader> {
  const fail = (what: string, cause?: unknown): never => {
    throw new SafetensorsError(`${file.path}: ${what}`, { cause });
  };
  const first = await file.read(0, Math.min(file.size, 512));
  const other = sniff(first);
  if (file.size < 8) {
    fail(other ?? `has ${file.size} bytes, too few for a safetensors file; the download was cut, fetch it again`);
  }
  const view = new DataView(first.buffer, first.byteOffset, first.byteLength);
  const length = view.getBigUint64(0, true);
  // A header's length may look like another format's magic; a "{" behind it that the file can hold decides.
  const opens =
    first.subarray(8).find((byte) => byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) === 0x7b;
  if (other && !(opens && length <= BigInt(file.size - 8))) fail(other);
  if (length > BigInt(MAX_HEADER)) {
    fail(`is no safetensors file: its first 8 bytes give a header of ${length} bytes, more than ${MAX_HEADER}`);
  }
  const dataStart = 8 + Number(length);
  if (dataStart > file.size) {
    fail(
      `is cut or no safetensors file: the header ends at byte ${dataStart}, the file at ${file.size}; fetch it again`,
    );
  }
  const bytes = dataStart <= first.length ? first.subarray(8, dataStart) : await file.read(8, dataStart);
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (error) {
    return fail("bad safetensors header: is not UTF-8 text", error);
  }
  try {
    return parseHeader(text, dataStart, file.size);
  } catch (error) {
    if (error instanceof SyntaxError) return fail(`bad safetensors header: ${error.message}`, error);
    throw error;
  }
}
