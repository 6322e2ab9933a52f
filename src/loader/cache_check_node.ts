import { realpath } from "node:fs/promises";
import { basename } from "node:path";
import { SafetensorsError } from "./errors.js";
import { hashFile } from "./file_hash_node.js";
import { isBlobHash } from "./hub_options.js";
import type { RepositoryFile } from "./repository.js";
import { readSafetensorsHeader } from "./safetensors.js";

/** Files up to this size are hashed whenever they are opened, which takes less than loading them. */
const HASHED_BYTES = 64 << 20;

/**
 * What is wrong with a file that is linked in the cache, as far as can be told at every load: small files are hashed, where
 * the link's target has the hash for its name, and weights must have the length that their header gives.
 *
 * @returns null if nothing is
 */
export async function damageOf(file: RepositoryFile, signal?: AbortSignal): Promise<string | null> {
  if (file.size > HASHED_BYTES) return file.path.endsWith(".safetensors") ? damageOfWeights(file) : null;
  const expected = basename(await realpath(file.path));
  if (!isBlobHash(expected)) return null; // a copy, on a system without links
  const hash = await hashFile(file.path, file.size, expected, signal);
  return hash === expected ? null : `it has ${file.size} bytes of the hash ${hash}, expected ${expected}`;
}

async function damageOfWeights(file: RepositoryFile): Promise<string | null> {
  try {
    await readSafetensorsHeader(file);
    return null;
  } catch (error) {
    if (error instanceof SafetensorsError) return error.message.replace(`${file.path}: `, "");
    throw error;
  }
}
