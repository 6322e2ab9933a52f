import { randomUUID } from "node:crypto";
import { mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { RepositoryError } from "./errors.js";
import { checkPath } from "./paths.js";
import type { SaveTarget } from "./save_target.js";

/**
 * Saves files into a folder, all or nothing: everything is written to a hidden folder on the same disk first. A folder
 * that is new then gets its name in one step; into one that exists, or that another save has made meanwhile, whole files
 * are moved one after another. A process that is killed leaves at most the hidden folder, `.<name>.<id>.tmp`, which a
 * save after a day removes, never half a file under its name.
 *
 * @throws RepositoryError naming the file that cannot be written; whatever `work` throws. Nothing stays then.
 */
export async function saveFolder(directory: string, work: (target: SaveTarget) => Promise<void>): Promise<void> {
  const root = resolve(directory);
  const info = await stat(root).catch(() => null);
  if (info && !info.isDirectory()) throw new RepositoryError(`${directory}: is a file; give a folder to save into`);
  const place = info ? root : dirname(root);
  const staging = join(place, `.${basename(root)}.${randomUUID()}.tmp`);
  await removeLeftovers(place, basename(root));
  try {
    await attempt(staging, () => mkdir(staging, { recursive: true }));
    const target = new StagedFolder(directory, info ? root : null, staging);
    await work(target);
    if (info || !(await becomes(root, staging))) await target.moveInto(root);
  } finally {
    await rm(staging, { recursive: true, force: true }).catch(() => undefined);
  }
}

/** Gives the staged folder its name; false where another save was faster, and the folder exists now. */
async function becomes(root: string, staging: string): Promise<boolean> {
  try {
    await rename(staging, root);
    return true;
  } catch (cause) {
    const isFolder = await stat(root).then(
      (info) => info.isDirectory(),
      () => false,
    );
    if (isFolder) return false;
    throw unwritable(root, cause as Error);
  }
}

const DAY = 86_400_000;

/** Hidden folders of saves that were killed; younger ones may belong to a process that still runs. */
async function removeLeftovers(place: string, name: string): Promise<void> {
  for (const entry of await readdir(place).catch(() => [])) {
    if (!entry.startsWith(`.${name}.`) || !/^[\da-f-]{36}\.tmp$/.test(entry.slice(name.length + 2))) continue;
    const info = await stat(join(place, entry)).catch(() => null);
    if (info && Date.now() - info.mtimeMs > DAY)
      await rm(join(place, entry), { recursive: true, force: true }).catch(() => undefined);
  }
}

class StagedFolder implements SaveTarget {
  readonly #written = new Set<string>();
  readonly #removed = new Set<string>();

  constructor(
    readonly name: string,
    /** The folder as it is before the save; null if there is none. */
    private readonly present: string | null,
    private readonly staging: string,
  ) {}

  async list(folder: string): Promise<string[]> {
    if (this.present === null) return [];
    const path = folder === "" ? this.present : join(this.present, checkPath(folder));
    const entries = await readdir(path, { withFileTypes: true }).catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return [];
      throw unwritable(path, error);
    });
    return entries.filter((entry) => !entry.isDirectory()).map((entry) => entry.name);
  }

  async write(path: string, pieces: Iterable<Uint8Array> | AsyncIterable<Uint8Array>): Promise<void> {
    const file = join(this.staging, checkPath(path));
    const handle = await attempt(file, async () => {
      await mkdir(dirname(file), { recursive: true });
      return open(file, "w");
    });
    try {
      // Faults of the pieces' maker (a lost GPU) keep their own names.
      for await (const piece of pieces) await attempt(file, () => handle.writeFile(piece));
      await attempt(file, () => handle.sync());
    } finally {
      await handle.close();
    }
    this.#written.add(path);
  }

  async remove(path: string): Promise<void> {
    this.#removed.add(checkPath(path));
  }

  /** In the order of writing, removals last: an index follows its shards, and old files go when new ones are there. */
  async moveInto(root: string): Promise<void> {
    for (const path of this.#written) {
      const file = join(root, path);
      await attempt(file, async () => {
        await mkdir(dirname(file), { recursive: true });
        await rename(join(this.staging, path), file);
      });
    }
    for (const path of this.#removed)
      if (!this.#written.has(path)) await attempt(path, () => rm(join(root, path), { force: true }));
  }
}

async function attempt<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    throw unwritable(path, cause as Error);
  }
}

const unwritable = (path: string, cause: Error): RepositoryError =>
  new RepositoryError(`${path}: cannot be written: ${cause.message}`, { cause });
