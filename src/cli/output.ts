/** Where pictures go. Checked before anything is drawn or measured: nobody wants to wait a minute to hear of a wrong folder. */
import { access, constants, readlink, realpath, stat } from "node:fs/promises";
import path from "node:path";
import type { RawImage } from "../index.js";
import { UsageError } from "./errors.js";

/** The files for `count` pictures: "cat.png", or "cat-1.png", "cat-2.png", … */
export function outputFiles(output: string | undefined, count = 1): string[] {
  if (output === undefined) throw new UsageError("no output file given; add -o FILE.png");
  const extension = path.extname(output);
  if (extension.toLowerCase() !== ".png" || !output.endsWith(extension))
    // "cat.png/" has the extension ".png"
    throw new UsageError(`--output must be a name that ends in .png, got "${output}"`);
  if (count === 1) return [output];
  const base = output.slice(0, -extension.length);
  return Array.from({ length: count }, (_, i) => `${base}-${i + 1}${extension}`);
}

/** @throws Error if one of the files could not be written; the signal's reason */
export async function checkWritable(files: readonly string[], signal?: AbortSignal): Promise<void> {
  const folders = new Set<string>(); // of many files mostly one, which is looked at once
  for (const file of files) {
    signal?.throwIfAborted();
    const present = await statOrNull(file);
    if (present?.isDirectory()) throw new Error(`${file}: cannot be written: it is a folder`);
    if (present) {
      await checkAccess(file, file);
      continue;
    }
    const folder = await folderFor(file);
    if (!folders.has(folder)) await checkFolder(file, folder);
    folders.add(folder);
  }
}

/** Writes a PNG file and says which. */
export async function write(file: string, image: RawImage, description: string): Promise<void> {
  await image.save(file).catch((cause: unknown) => {
    throw new Error(`${file}: cannot be written: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  });
  console.log(`${file}: ${image.width}x${image.height}, ${description}`);
}

/** "1 step", "25 steps". */
export const stepsText = (steps: number): string => `${steps} step${steps === 1 ? "" : "s"}`;

/** Where a file that is not there would be made: beside its name, or where a link of that name points to. */
async function folderFor(file: string): Promise<string> {
  const folder = path.dirname(path.resolve(file));
  const target = await readlink(file).catch(() => null); // null: no link
  return target === null ? folder : folderFor(path.resolve(await realpath(folder), target));
}

async function checkFolder(file: string, folder: string): Promise<void> {
  const info = await statOrNull(folder);
  if (!info) throw new Error(`${file}: cannot be written: there is no folder ${folder}`);
  if (!info.isDirectory()) throw new Error(`${file}: cannot be written: ${folder} is not a folder`);
  await checkAccess(file, folder);
}

async function checkAccess(file: string, target: string): Promise<void> {
  await access(target, constants.W_OK).catch((cause: unknown) => {
    throw new Error(`${file}: cannot be written: no permission to write to ${target}`, { cause });
  });
}

async function statOrNull(file: string): Promise<Awaited<ReturnType<typeof stat>> | null> {
  return stat(file).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT" || error.code === "ENOTDIR") return null;
    throw new Error(`${file}: cannot be written: ${error.message}`, { cause: error });
  });
}
