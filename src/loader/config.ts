import { ConfigError } from "./errors.js";
import { JSONScanner } from "./json.js";
import { MissingFilesError } from "./missing_files.js";
import type { Repository, RepositoryFile } from "./repository.js";
import { sniff } from "./sniff.js";
import { MAX_TEXT, tooLong } from "./text_files.js";

/** Decodes and parses JSON as Python's json does: strict, but for Infinity, -Infinity and NaN, which Python writes. */
export function parseJSON(bytes: Uint8Array, file: string): unknown {
  if (bytes.length === 0) throw new ConfigError(`${file}: the file is empty; was the download cut?`);
  if (bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf) {
    throw new ConfigError(
      `${file}: begins with a byte-order mark, which JSON does not allow; save it as UTF-8 without BOM`,
    );
  }
  const scanner = new JSONScanner(decode(bytes, file), { python: true });
  try {
    const value = scanner.value();
    scanner.end();
    return value;
  } catch (error) {
    const other = sniff(bytes.subarray(0, 512));
    if (other) throw new ConfigError(`${file}: ${other}`, { cause: error });
    throw new ConfigError(`${file}: is no valid JSON: ${(error as Error).message}`, { cause: error });
  }
}

/** UTF-8 to text, refusing what is not UTF-8. */
export function decode(bytes: Uint8Array, file: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (error) {
    const other = sniff(bytes.subarray(0, 512));
    throw new ConfigError(`${file}: ${other ?? "is not UTF-8 text"}`, { cause: error });
  }
}

/** What pipelines have in subfolders: who asks for it at the root has perhaps left out `subfolder`. */
const OF_COMPONENTS = ["config.json", "vocab.json", "merges.txt"];

/** Opens a file that must be there. Throws MissingFilesError naming file and repository. */
export async function openRequired(repository: Repository, path: string): Promise<RepositoryFile> {
  const file = await repository.open(path);
  if (file) return file;
  const note = OF_COMPONENTS.includes(path) ? "; does it lie in a subfolder?" : "";
  throw new MissingFilesError([path], repository.name, repository.whyMissing?.(path), note);
}

/** Reads a whole text file (JSON, merges.txt). Throws ConfigError if it is missing or absurdly large. */
export async function readBytes(repository: Repository, path: string): Promise<Uint8Array> {
  const file = await openRequired(repository, path);
  if (file.size > MAX_TEXT) throw tooLong(file.path, file.size);
  return file.read();
}

/**
 * Reads a JSON file that holds an object, such as config.json or model_index.json. The object is plain: `__proto__` and
 * repeated keys are refused. Throws ConfigError naming the file and the fault.
 */
export async function readJSON(repository: Repository, path: string): Promise<Record<string, unknown>> {
  const name = `${path} of ${repository.name}`;
  const value = parseJSON(await readBytes(repository, path), name);
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    const kind = value === null ? "null" : Array.isArray(value) ? "an array" : `a ${typeof value}`;
    throw new ConfigError(`${name}: must hold a JSON object, got ${kind}`);
  }
  return value as Record<string, unknown>;
}
