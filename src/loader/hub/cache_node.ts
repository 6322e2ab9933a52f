import { randomUUID } from "node:crypto";
import { copyFile, mkdir, readFile, realpath, rename, rm, stat, symlink, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { openDirectory } from "../directory_node.js";
import { RepositoryError } from "../errors.js";
import { checkPath } from "../paths.js";
import type { RepositoryFile } from "../repository.js";
import { hashFile } from "./file_hash_node.js";
import type { HubFile } from "./hub_api.js";
import { isCommit } from "./hub_options.js";

const TAG =
  "Signature: 8a477f597d28d172789f06886806bc55\n" +
  "# This file is a cache directory tag created by huggingface_hub.\n" +
  "# For information about cache directory tags, see:\n" +
  "#\thttps://bford.info/cachedir/\n";

/**
 * One repository's part of the cache, in the layout of Python's huggingface_hub:
 * `models--org--name/{blobs/<hash>, refs/<revision>, snapshots/<commit>/<path>, .no_exist/<commit>/<path>}`, where
 * snapshots are links to blobs. All paths given are checked here once more: they become files.
 */
export class HubCache {
  readonly root: string;
  readonly #folder: string;

  /** @param folder of the whole cache; @param id of the repository, checked */
  constructor(folder: string, id: string) {
    this.#folder = folder;
    this.root = join(folder, ["models", ...id.split("/")].join("--"));
  }

  /** Where the bytes with this hash lie. */
  blob(hash: string): string {
    return join(this.root, "blobs", checkPath(hash));
  }

  snapshot(commit: string): string {
    return join(this.root, "snapshots", checkPath(commit));
  }

  /** The commit that a branch or tag was when it was last loaded. */
  async readRef(revision: string): Promise<string | null> {
    const text = await readFile(join(this.root, "refs", checkPath(revision)), "utf8").catch(() => "");
    return isCommit(text.trim()) ? text.trim() : null;
  }

  /** Best effort: a cache that cannot be written still serves. */
  async writeRef(revision: string, commit: string): Promise<void> {
    if (revision === commit || (await this.readRef(revision)) === commit) return;
    await writeAtomically(join(this.root, "refs", checkPath(revision)), commit).catch(() => undefined);
  }

  /** Whether files of this commit were ever linked in the cache. */
  async hasSnapshot(commit: string): Promise<boolean> {
    return (await stat(this.snapshot(commit)).catch(() => null))?.isDirectory() ?? false;
  }

  /** A file that is linked in the cache; null if it is not there. */
  async find(commit: string, path: string): Promise<RepositoryFile | null> {
    const snapshot = await openDirectory(this.snapshot(commit));
    return snapshot && snapshot.open(path);
  }

  /** Whether the hub said that this commit has no such file. */
  async isAbsent(commit: string, path: string): Promise<boolean> {
    return (await stat(this.#absence(commit, path)).catch(() => null)) !== null;
  }

  async markAbsent(commit: string, path: string): Promise<void> {
    await writeAtomically(this.#absence(commit, path), "").catch(() => undefined);
  }

  #absence(commit: string, path: string): string {
    return join(this.root, ".no_exist", checkPath(commit), checkPath(path));
  }

  /** Whether there is a blob of this hash, and its bytes have it, too: other programs may have left it. */
  async holds({ hash, size }: HubFile, signal?: AbortSignal): Promise<boolean> {
    const blob = this.blob(hash);
    const info = await stat(blob).catch(() => null);
    if (!info?.isFile() || (size !== null && info.size !== size)) return false;
    const found = await hashFile(blob, info.size, hash, signal).catch(() => null);
    signal?.throwIfAborted();
    return found === hash;
  }

  /** Makes the folders. Throws RepositoryError, with the cure, where the cache cannot be written. */
  async prepare(): Promise<void> {
    await this.#writing(async () => {
      await mkdir(join(this.root, "blobs"), { recursive: true });
      const tag = join(this.#folder, "CACHEDIR.TAG");
      await writeFile(tag, TAG, { flag: "wx" }).catch(() => undefined);
    });
  }

  /** Makes a blob visible as a file of a commit. */
  async link(hash: string, commit: string, path: string): Promise<void> {
    const blob = this.blob(hash);
    const pointer = join(this.snapshot(commit), checkPath(path));
    const target = relative(dirname(pointer), blob); // the cache may be moved
    await this.#writing(async () => {
      await mkdir(dirname(pointer), { recursive: true });
      if (await symlink(target, pointer).then(() => true, codeIs("EEXIST"))) {
        if ((await realpath(pointer).catch(() => "")) === (await realpath(blob))) return;
      }
      // A link that points elsewhere, or a system without links: replaced in one step, by a copy if need be.
      const temporary = `${pointer}.${randomUUID()}.tmp`;
      try {
        await symlink(target, temporary).catch(() => copyFile(blob, temporary));
        await rename(temporary, pointer);
      } finally {
        await rm(temporary, { force: true });
      }
    });
  }

  async #writing<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (cause) {
      throw cacheError(this.root, cause);
    }
  }
}

/** The error for a cache that cannot be written. */
export function cacheError(path: string, cause: unknown): RepositoryError {
  const { code, message } = cause as NodeJS.ErrnoException;
  const cure =
    code === "ENOSPC" || code === "EDQUOT"
      ? "the disk is full; free space, or put the cache elsewhere (option cacheDir, HF_HOME)"
      : "choose a folder that can be written (option cacheDir, HF_HOME)";
  return new RepositoryError(`cache ${path}: cannot be written: ${message}; ${cure}`, { cause });
}

const codeIs =
  (code: string) =>
  (error: unknown): boolean => {
    if ((error as NodeJS.ErrnoException).code === code) return true;
    if (["EPERM", "ENOSYS", "EOPNOTSUPP", "UNKNOWN"].includes((error as NodeJS.ErrnoException).code ?? ""))
      return false;
    throw error;
  };

async function writeAtomically(path: string, text: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const temporary = `${path}.${randomUUID().slice(0, 8)}.tmp`;
  try {
    await writeFile(temporary, text);
    await rename(temporary, path);
  } finally {
    await rm(temporary, { force: true });
  }
}
