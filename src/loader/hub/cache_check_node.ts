import { realpath } from "node:fs/promises";
import { basename } from "node:path";
import { RepositoryError, SafetensorsError } from "../errors.js";
import type { RepositoryFile } from "../repository.js";
import { readSafetensorsHeader } from "../safetensors.js";
import { hashFile } from "./file_hash_node.js";
import { isBlobHash } from "./hub_options.js";

/** Files up to this size are hashed whenever they are opened, which takes less than loading them. */
const HASHED_BYTES = 64 << 20;

/**
 * What is wrong with a file that is linked in the cache, as far as can be told at every load: small files are hashed, where
 * the link's target has the hash for its name, and weights must have the length that their header gives.
 *
 * @returns null if nothing is
 * @throws RepositoryError naming a file that cannot be read, with the cure; the signal's reason
 */
export async function damageOf(file: RepositoryFile, signal?: AbortSignal): Promise<string | null> {
  try {
    return await lookInto(file, signal);
  } catch (error) {
    const cause = error instanceof RepositoryError ? error.cause : error;
    if (!(cause instanceof Error && "syscall" in cause)) throw error;
    throw new RepositoryError(
      `cached file ${file.path}: cannot be read: ${cause.message}; let this user read it (chmod, chown), delete it, or put the ` +
        "cache elsewhere (option cacheDir, HF_HOME)",
      { cause },
    );
  }
}

async function lookInto(file: RepositoryFile, signal?: AbortSignal): Promise<string | null> {
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
