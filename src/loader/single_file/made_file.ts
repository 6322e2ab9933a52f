/** A safetensors file made of pieces of another one, read through: nothing of it is kept. */
import { checkRange } from "../paths.js";
import type { RepositoryFile } from "../repository.js";
import type { SafetensorsEntry } from "../safetensors.js";
import { headerBytes } from "../safetensors_header.js";

/** One tensor of the file. */
export interface MadeTensor {
  name: string;
  dtype: SafetensorsEntry["dtype"];
  shape: readonly number[];
  /** Where its bytes are in the other file. */
  from: number;
  to: number;
  /** It has rows and columns exchanged there. */
  transposed?: boolean;
}

/** Bytes [start, end) of the file and what they are. */
interface Stretch {
  start: number;
  end: number;
  read: (start: number, end: number, into?: Uint8Array<ArrayBuffer>) => Promise<Uint8Array<ArrayBuffer>>;
}

/** @param path of the result, for messages */
export function madeFile(source: RepositoryFile, path: string, tensors: readonly MadeTensor[]): RepositoryFile {
  const inOrder = [...tensors].sort((a, b) => a.from - b.from);
  const header = headerOf(inOrder);
  const stretches: Stretch[] = [{ start: 0, end: header.length, read: async (from, to) => header.slice(from, to) }];
  let previous: MadeTensor | undefined;
  for (const tensor of inOrder) {
    const last = stretches[stretches.length - 1];
    const size = tensor.to - tensor.from;
    // What lies side by side in both files is read in one go.
    if (previous && previous.to === tensor.from && !previous.transposed && !tensor.transposed) last.end += size;
    else stretches.push({ start: last.end, end: last.end + size, read: reader(source, tensor) });
    previous = tensor;
  }
  const { end: size } = stretches[stretches.length - 1];
  return {
    path,
    size,
    async read(start = 0, end = size, into) {
      checkRange(path, size, start, end);
      const parts = stretches.filter((each) => each.start < end && each.end > start);
      if (parts.length === 1) return parts[0].read(start - parts[0].start, end - parts[0].start, into);
      const all = into ? into.subarray(0, end - start) : new Uint8Array(end - start);
      for (const part of parts) {
        const [from, to] = [Math.max(start, part.start), Math.min(end, part.end)];
        all.set(await part.read(from - part.start, to - part.start), from - start);
      }
      return all;
    },
    close: async () => source.close?.(),
  };
}

function reader(source: RepositoryFile, { from, to, shape, transposed }: MadeTensor): Stretch["read"] {
  if (!transposed) return (start, end, into) => source.read(from + start, from + end, into);
  return async (start, end) => exchanged(await source.read(from, to), shape).slice(start, end);
}

/** @param shape of the result, rows and columns */
function exchanged(bytes: Uint8Array, [rows, columns]: readonly number[]): Uint8Array<ArrayBuffer> {
  const item = bytes.length / (rows * columns);
  const result = new Uint8Array(bytes.length);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) {
      const at = (column * rows + row) * item;
      for (let i = 0; i < item; i++) result[(row * columns + column) * item + i] = bytes[at + i];
    }
  return result;
}

function headerOf(tensors: readonly MadeTensor[]): Uint8Array<ArrayBuffer> {
  const entries: Record<string, unknown> = {};
  let at = 0;
  for (const { name, dtype, shape, from, to } of tensors) {
    entries[name] = { dtype, shape, data_offsets: [at, at + to - from] };
    at += to - from;
  }
  return headerBytes(JSON.stringify(entries));
}
