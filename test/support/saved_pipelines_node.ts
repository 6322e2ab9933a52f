/** Pipelines in files, in Node. */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Device } from "../../src/index.js";

/** `grep -v _name_or_path model_index.json | sha256sum`. */
export async function indexHash(folder: string): Promise<string> {
  const lines = (await readFile(join(folder, "model_index.json"), "utf8")).split("\n");
  const text = lines.filter((line) => !line.includes("_name_or_path")).join("\n");
  return createHash("sha256").update(text).digest("hex");
}

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
