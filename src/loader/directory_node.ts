import { open, stat, type FileHandle } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { RepositoryError } from "./errors.js";
import { checkPath, checkRange } from "./paths.js";
import type { Repository, RepositoryFile } from "./repository.js";

/** fs.read takes a length below 2^31. */
const MAX_READ = 1 << 30;

const isMissing = (error: unknown): boolean => {
  const code = (error as NodeJS.ErrnoException | null)?.code;
  return code === "ENOENT" || code === "ENOTDIR" || code === "ENAMETOOLONG";
};

const unreadable = (path: string, cause: unknown): RepositoryError =>
  new RepositoryError(`${path}: cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });

/** Opens a local folder as a repository; null if there is nothing of that name. Throws RepositoryError for a file. */
export async function openDirectory(source: string | URL): Promise<Repository | null> {
  const path = typeof source === "string" ? source : fileURLToPath(source);
  const info = await stat(path).catch((error: unknown) => {
    if (isMissing(error)) return null;
    throw unreadable(path, error);
  });
  if (!info) return null;
  if (info.isDirectory()) return new DirectoryRepository(path);
  throw new RepositoryError(
    `repository ${path}: is a file; give the folder that it is in (only loadConfig, and fromPretrained of schedulers, take a file)`,
  );
}

/** The folder and the name of a local file, by its path or `file:` address; null if it is none. */
export async function findFile(source: string | URL): Promise<{ folder: string; name: string } | null> {
  const isAddress = source instanceof URL || /^[a-z][a-z0-9+.-]*:\/\//i.test(source);
  if (isAddress && !(URL.canParse(source) && new URL(source).protocol === "file:")) return null;
  const path = resolve(isAddress ? fileURLToPath(source) : source);
  const info = await stat(path).catch(() => null); // openDirectory() says what is wrong
  return info?.isFile() ? { folder: dirname(path), name: basename(path) } : null;
}

class DirectoryRepository implements Repository {
  readonly name: string;
  readonly isLocal = true;
  readonly #root: string;

  constructor(path: string) {
    this.name = path;
    this.#root = resolve(path); // a later chdir must not move the repository
  }

  // Links are followed on purpose: the snapshots in the hub's own cache are links to blobs beside them.
  async open(path: string): Promise<RepositoryFile | null> {
    const full = join(this.#root, checkPath(path));
    const info = await stat(full).catch((error: unknown) => {
      if (isMissing(error)) return null;
      throw unreadable(full, error);
    });
    if (!info) return null;
    if (!info.isFile()) throw new RepositoryError(`${full}: is not a file`);
    return new DiskFile(full, info.size);
  }
}

/** Opens the file for each read, so that a file nobody closes holds no handle. */
class DiskFile implements RepositoryFile {
  constructor(
    readonly path: string,
    readonly size: number,
  ) {}

  async read(start = 0, end = this.size, into?: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
    checkRange(this.path, this.size, start, end);
    const bytes = into?.subarray(0, end - start) ?? new Uint8Array(end - start);
    const handle = await open(this.path, "r").catch((error: unknown) => {
      throw unreadable(this.path, error);
    });
    try {
      await this.#fill(handle, bytes, start);
    } finally {
      await handle.close();
    }
    return bytes;
  }

  async #fill(handle: FileHandle, bytes: Uint8Array, start: number): Promise<void> {
    for (let filled = 0; filled < bytes.length;) {
      const length = Math.min(bytes.length - filled, MAX_READ);
      const { bytesRead } = await handle.read(bytes, filled, length, start + filled).catch((error: unknown) => {
        throw unreadable(this.path, error);
      });
      if (bytesRead === 0) {
        throw new RepositoryError(
          `${this.path}: ended at byte ${start + filled}, though it had ${this.size} bytes when it was opened; was it replaced?`,
        );
      }
      filled += bytesRead;
    }
  }
}
