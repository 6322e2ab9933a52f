import { randomUUID } from "node:crypto";
import { mkdir, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { RepositoryError } from "./errors.js";

/**
 * Writes a text file into a folder, which is made if need be. The text goes to a temporary name first and is then
 * renamed, so that a reader never sees half a file.
 *
 * @throws RepositoryError if `directory` is a file, or cannot be written
 */
export async function saveText(directory: string, name: string, text: string): Promise<void> {
  const info = await stat(directory).catch(() => null);
  if (info && !info.isDirectory()) throw new RepositoryError(`${directory}: is a file; give a folder to save into`);
  const target = join(directory, name);
  const temporary = join(directory, `.${name}.${randomUUID()}.tmp`);
  try {
    await mkdir(directory, { recursive: true });
    await writeFile(temporary, text, "utf8");
    await rename(temporary, target);
  } catch (cause) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw new RepositoryError(`${target}: cannot be written: ${(cause as Error).message}`, { cause });
  }
}
