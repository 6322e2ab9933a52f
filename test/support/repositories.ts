/** Repositories with some files changed, for tests of what loading refuses. */
import { openRepository, type Repository, type RepositoryFile, type RepositorySource } from "../../src/index.js";
import { memoryFile } from "./goldens.js";

/** Bytes or an object (as JSON) instead of a file, or null for no file there. */
export type Changes = Record<string, Uint8Array | object | null>;

export async function changed(source: RepositorySource, changes: Changes): Promise<Repository> {
  const base = await openRepository(source);
  return {
    name: `${base.name} (changed)`,
    async open(path: string): Promise<RepositoryFile | null> {
      if (!(path in changes)) return base.open(path);
      const value = changes[path];
      if (value === null) return null;
      return memoryFile(value instanceof Uint8Array ? value : new TextEncoder().encode(JSON.stringify(value)), path);
    },
  };
}

export interface RawTensor {
  dtype: string;
  shape: number[];
  bytes: Uint8Array;
}

/** The tensors of a safetensors file, as bytes. */
export function parseSafetensors(file: Uint8Array): Map<string, RawTensor> {
  const length = Number(new DataView(file.buffer, file.byteOffset).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(file.subarray(8, 8 + length))) as Record<
    string,
    { dtype: string; shape: number[]; data_offsets: [number, number] }
  >;
  const tensors = new Map<string, RawTensor>();
  for (const [name, entry] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    const [start, end] = entry.data_offsets;
    tensors.set(name, {
      dtype: entry.dtype,
      shape: entry.shape,
      bytes: file.slice(8 + length + start, 8 + length + end),
    });
  }
  return tensors;
}

/** A safetensors file of these tensors, in their order. */
export function writeSafetensors(
  tensors: ReadonlyMap<string, RawTensor>,
  metadata?: Readonly<Record<string, string>>,
): Uint8Array<ArrayBuffer> {
  let offset = 0;
  const header: Record<string, unknown> = metadata ? { __metadata__: metadata } : {};
  for (const [name, { dtype, shape, bytes }] of tensors) {
    header[name] = { dtype, shape, data_offsets: [offset, offset + bytes.length] };
    offset += bytes.length;
  }
  const text = new TextEncoder().encode(JSON.stringify(header));
  const padded = Math.ceil(text.length / 8) * 8;
  const file = new Uint8Array(8 + padded + offset).fill(0x20, 8, 8 + padded);
  new DataView(file.buffer).setBigUint64(0, BigInt(padded), true);
  file.set(text, 8);
  let at = 8 + padded;
  for (const { bytes } of tensors.values()) {
    file.set(bytes, at);
    at += bytes.length;
  }
  return file;
}
