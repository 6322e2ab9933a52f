import { mkdir } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { HubCache, cacheError } from "./cache_node.js";
import { withLock } from "./cache_lock_node.js";
import { DownloadBar } from "./download_bar_node.js";
import { download } from "./download_node.js";
import { quote } from "./errors.js";
import { fileInfo, fileURL, type Hub, type HubFile } from "./hub_api.js";
import { resolveCommit } from "./hub_commit_node.js";
import { cacheFolder, hubEndpoint, hubTimeout, hubToken, whyOffline } from "./hub_environment_node.js";
import { HubError } from "./hub_errors.js";
import {
  checkRevision,
  DEFAULT_REVISION,
  isCommit,
  isHubId,
  type HubOptions,
  type LoadProgress,
} from "./hub_options.js";
import { systemClock, TRIES, type Clock } from "./hub_retry.js";
import { checkPath } from "./paths.js";
import { unreadPickle } from "./pickles.js";
import type { OpenOptions, Repository, RepositoryFile } from "./repository.js";
import { eitherSignal, untilAborted } from "./signals.js";
import { Turns } from "./turns.js";

/** Tries to learn the newest commit when an older one is cached and can be used instead. */
const TRIES_WITH_CACHE = 2;

/** So many downloads run at once. */
const downloads = new Turns(4);

/** Downloads that run, by target: callers in one process share them. */
const running = new Map<string, Promise<void>>();

/**
 * Opens a repository on the hub. The revision is resolved to a commit once and everything is read at it; files are
 * downloaded when they are opened, into the cache that Python's huggingface_hub has, too.
 *
 * @param clock for tests
 * @throws HubError (a RepositoryError) naming repository, revision, fault and cure
 */
export async function openHubRepository(
  id: string,
  options: HubOptions = {},
  clock: Partial<Clock> = {},
): Promise<Repository> {
  const revision = checkRevision(options.revision ?? DEFAULT_REVISION);
  if (!isHubId(id)) throw new HubError(`repository ${quote(id)}: is no id on the hub, such as "owner/name"`);
  const name = revision === DEFAULT_REVISION ? id : `${id}@${revision}`;
  const cache = new HubCache(cacheFolder(options), id);
  const hub: Hub = {
    id,
    endpoint: hubEndpoint(options),
    fetch: options.fetch ?? fetch,
    token: await hubToken(options),
    signal: options.signal,
    clock: { ...systemClock, timeout: hubTimeout(), ...clock },
  };
  hub.signal?.throwIfAborted();
  const known = isCommit(revision) ? revision : await cache.readRef(revision);
  const bar = options.progressCallback ? null : DownloadBar.forTerminal();
  const report = options.progressCallback ?? (bar ? (progress: LoadProgress) => bar.report(progress) : undefined);
  const at = (commit: string, offline: string | null): Repository =>
    new HubRepository({ name, hub, cache, revision, commit, offline, report });
  const offline = whyOffline(options);
  if (offline !== null) {
    if (known !== null) return at(known, offline);
    throw new HubError(
      `${name}: revision ${revision} is not in the cache ${cache.root}, and ${offline}; load it once with the network`,
    );
  }
  if (isCommit(revision)) return at(revision, null);
  try {
    return at(await resolveCommit(hub, revision, known === null ? TRIES : TRIES_WITH_CACHE), null);
  } catch (error) {
    hub.signal?.throwIfAborted();
    if (known === null || !(error instanceof HubError) || error.code === "RevisionNotFound") throw error;
    console.warn(`${error.message}. The cached files of commit ${known} are used instead.`);
    return at(known, `the hub could not be asked (${error.message})`);
  }
}

interface Parts {
  name: string;
  hub: Hub;
  cache: HubCache;
  revision: string;
  commit: string;
  /** Why nothing may be fetched; null if it may. */
  offline: string | null;
  report: HubOptions["progressCallback"];
}

class HubRepository implements Repository {
  readonly name: string;
  readonly isLocal: boolean;
  readonly #parts: Parts;
  readonly #missing = new Map<string, string>();
  /** What has() learnt and open() need not ask again. */
  readonly #asked = new Map<string, HubFile>();

  constructor(parts: Parts) {
    this.name = parts.name;
    this.isLocal = parts.offline !== null;
    this.#parts = parts;
  }

  whyMissing(path: string): string | undefined {
    return this.#missing.get(path);
  }

  async open(path: string, { signal }: OpenOptions = {}): Promise<RepositoryFile | null> {
    const { cache, commit, offline } = this.#parts;
    checkPath(path);
    const hub = this.#hubUnder(signal);
    const cached = await cache.find(commit, path);
    if (cached) {
      this.#report("initiate", path);
      this.#report("done", path, cached.size, cached.size);
      return cached;
    }
    if (await cache.isAbsent(commit, path)) return this.#absent(path);
    if (offline !== null) {
      this.#missing.set(path, `it is not in the cache ${cache.snapshot(commit)}, and ${offline}`);
      return null;
    }
    return this.#fetch(path, hub);
  }

  async has(path: string, { signal }: OpenOptions = {}): Promise<boolean> {
    const { cache, commit, offline } = this.#parts;
    checkPath(path);
    const hub = this.#hubUnder(signal);
    if (await cache.find(commit, path)) return true;
    if (offline !== null || (await cache.isAbsent(commit, path))) return (await this.open(path)) !== null;
    const file = await this.#ask(path, hub);
    if (file) this.#asked.set(path, file);
    return file !== null;
  }

  /** The hub, asked until the caller's signal or that of the repository aborts. Throws the reason if one has. */
  #hubUnder(signal: AbortSignal | undefined): Hub {
    const { hub } = this.#parts;
    const either = eitherSignal(hub.signal, signal);
    either?.throwIfAborted();
    return { ...hub, signal: either };
  }

  /** Hash and size of a file; null if there is none. */
  async #ask(path: string, hub: Hub): Promise<HubFile | null> {
    const { cache, commit, name } = this.#parts;
    const file = await fileInfo(hub, commit, path, `${path} of ${name}`);
    if (!("missing" in file)) return file;
    if (file.known) await cache.markAbsent(commit, path);
    return this.#absent(path);
  }

  async #fetch(path: string, hub: Hub): Promise<RepositoryFile | null> {
    const { cache, commit, revision, name } = this.#parts;
    const where = `${path} of ${name}`;
    const file = this.#asked.get(path) ?? (await this.#ask(path, hub));
    if (file === null) return null;
    this.#asked.delete(path); // another try asks again
    const unread = unreadPickle(path, where, file.size ?? 0);
    if (unread) return unread;
    this.#report("initiate", path, 0, file.size ?? 0);
    const isCached = async (): Promise<boolean> => {
      const size = await cache.blobSize(file.hash);
      return size !== null && (file.size === null || size === file.size);
    };
    if (!(await isCached())) {
      await cache.prepare();
      const target = cache.blob(file.hash);
      const onProgress = (loaded: number, total: number): void => this.#report("progress", path, loaded, total);
      const work = async (): Promise<void> => {
        const lock = await this.#lockFile(target);
        const fetchOnce = async (): Promise<void> => {
          if (await isCached()) return;
          this.#report("download", path, 0, file.size ?? 0);
          await download({ ...file, hub, url: fileURL(hub, commit, path), where, target, onProgress });
        };
        await downloads.run(() => withLock(lock, fetchOnce, { isDone: isCached, signal: hub.signal }), hub.signal);
      };
      await this.#once(target, work, hub.signal);
    }
    await cache.link(file.hash, commit, path);
    await cache.writeRef(revision, commit);
    const opened = await cache.find(commit, path);
    if (!opened)
      throw new HubError(`${where}: vanished from the cache ${cache.root}; is something clearing it? Load again`);
    this.#report("done", path, opened.size, opened.size);
    return opened;
  }

  /** Beside the locks of Python's client, which leaves its files there, too. */
  async #lockFile(target: string): Promise<string> {
    const { root } = this.#parts.cache;
    const folder = join(dirname(root), ".locks", basename(root));
    await mkdir(folder, { recursive: true }).catch((error: unknown) => {
      throw cacheError(folder, error);
    });
    return join(folder, `${basename(target)}.pid`);
  }

  /** One download of a file at a time; whoever comes later waits for the first, but not for its abort signal. */
  async #once(target: string, work: () => Promise<void>, signal: AbortSignal | undefined): Promise<void> {
    for (;;) {
      const other = running.get(target);
      if (!other) break;
      const outcome = await untilAborted(other, signal).then(
        () => null,
        (error: unknown) => ({ error }),
      );
      signal?.throwIfAborted();
      if (outcome === null) return;
      if (outcome.error instanceof HubError) throw outcome.error;
    }
    const own = work().finally(() => running.delete(target));
    running.set(target, own);
    await own;
  }

  #absent(path: string): null {
    this.#missing.set(path, `commit ${this.#parts.commit} has no such file`);
    return null;
  }

  #report(status: LoadProgress["status"], file: string, loaded = 0, total = 0): void {
    const progress = total > 0 ? (100 * loaded) / total : status === "done" ? 100 : 0;
    this.#parts.report?.({ status, name: this.#parts.name, file, loaded, total, progress });
  }
}
