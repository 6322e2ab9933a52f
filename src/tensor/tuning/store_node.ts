import { createHash, randomUUID } from "node:crypto";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import os from "node:os";
import path from "node:path";

/** `WEBGPU_DIFFUSERS_TUNINGS` names another folder; "off": none. */
function fileOf(key: string): string | null {
  const wanted = process.env.WEBGPU_DIFFUSERS_TUNINGS?.trim();
  if (wanted === "off") return null;
  const cache = process.env.XDG_CACHE_HOME?.trim() || path.join(os.homedir(), ".cache");
  const folder = wanted || path.join(cache, "webgpu-diffusers", "tunings");
  return path.join(folder, `${createHash("sha256").update(key).digest("hex").slice(0, 16)}.json`);
}

export async function read(key: string): Promise<string | null> {
  const file = fileOf(key);
  if (file === null) return null;
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
}

export async function write(key: string, text: string): Promise<string | null> {
  const file = fileOf(key);
  if (file === null) return null;
  await mkdir(path.dirname(file), { recursive: true });
  // Whole or not at all: another process may read it now, or write it.
  const temporary = `${file}.${randomUUID()}`;
  try {
    await writeFile(temporary, text);
    await rename(temporary, file);
  } finally {
    await rm(temporary, { force: true });
  }
  return file;
}
