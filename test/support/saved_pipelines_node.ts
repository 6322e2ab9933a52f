/** Pipelines in files, in Node. */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Device } from "../../src/index.js";

export const sha256 = (bytes: Uint8Array | string): string => createHash("sha256").update(bytes).digest("hex");

/** Of a JSON file, without where it is from: `grep -v _name_or_path file.json | sha256sum`. */
export async function textHash(path: string): Promise<string> {
  const lines = (await readFile(path, "utf8")).split("\n");
  return sha256(lines.filter((line) => !line.includes("_name_or_path")).join("\n"));
}

/** The same of a pipeline's model_index.json. */
export const indexHash = (folder: string): Promise<string> => textHash(join(folder, "model_index.json"));

/** The most that is held during some work above what is held before it. */
export async function mostHeld<T>(
  { memory, memoryUse: before }: Device,
  work: () => Promise<T>,
): Promise<[result: T, bytes: number]> {
  let most = 0;
  const create = memory.create.bind(memory);
  memory.create = (...args) => {
    const block = create(...args);
    most = Math.max(most, memory.use.bytes - before.bytes);
    return block;
  };
  try {
    return [await work(), most];
  } finally {
    memory.create = create;
  }
}
