import { quote } from "../errors.js";
import { checkPath } from "../paths.js";
import { unreadPickle } from "../pickles.js";
import type { OpenOptions, Repository, RepositoryFile } from "../repository.js";
import { eitherSignal } from "../signals.js";
import { damageOf } from "./cache_check_node.js";
import { HubCache } from "./cache_node.js";
import { DownloadBar } from "./download_bar_node.js";
import { fileInfo, fileURL, type Hub, type HubFile } from "./hub_api.js";
import { bringBlob } from "./hub_blob_node.js";
import { resolveCommit } from "./hub_commit_node.js";
import { cacheFolder, hubEndpoint, hubTimeout, hubToken, whyOffline } from "./hub_environment_node.js";
import { HubError } from "./hub_errors.js";
import {
  checkRevision,
  DEFAULT_REVISION,
  isCommit,
  isHubId,
  type GivenHubOptions,
  type LoadProgress,
} from "./hub_options.js";
import { systemClock, TRIES, type Clock } from "./hub_retry.js";

/** Tries to learn the newest commit when an older one is cached and can be used instead. */
const TRIES_WITH_CACHE = 2;

/**
 * Opens a repository on the hub. The revision is resolved to a commit once and everything is read at it; files are
 * downloaded when they are opened, into the cache that Python's huggingface_hub has, too.
 *
 * @param clock for tests
 * @throws HubError (a RepositoryError) naming repository, revision, fault and cure
 */
export async function openHubRepository(
  id: string,
  options: GivenHubOptions = {},
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
    const commit = await resolveCommit(hub, revision, known === null ? TRIES : TRIES_WITH_CACHE);
    // Where all its files are cached, nothing is downloaded that would write it. Of a commit without files, offline use has nothing.
    if (commit !== known && (await cache.hasSnapshot(commit))) await cache.writeRef(revision, commit);
    return at(commit, null);
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
  report: GivenHubOptions["progressCallback"];
}

class HubRepository implements Repository {
  readonly name: string;
  readonly isLocal: boolean;
  readonly #parts: Parts;
  readonly #missing = new Map<string, string>();
  /** What has() learnt and open() need not ask again. */
  readonly #asked = new Map<string, HubFile>();
  /** Files whose bytes in the cache were found good, so that this is asked once in a load. */
  readonly #good = new Set<string>();

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
    const cached = await this.#cached(path, hub);
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
    if (await this.#cached(path, hub)) return true;
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

  /**
   * A file of the cache; null if there is none, or a damaged one that can be fetched again.
   * @throws HubError naming the damaged file where nothing may be fetched
   */
  async #cached(path: string, { signal }: Hub): Promise<RepositoryFile | null> {
    const { cache, commit, name, offline } = this.#parts;
    const file = await cache.find(commit, path);
    if (!file || this.#good.has(path)) return file;
    const damage = await damageOf(file, signal);
    if (damage === null) {
      this.#good.add(path);
      return file;
    }
    if (offline === null) return null;
    throw new HubError(
      `${path} of ${name}: the cached file ${file.path} is damaged (${damage}), and ${offline}; load it once with the network`,
    );
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
    await bringBlob({
      ...file,
      cache,
      hub,
      where,
      url: fileURL(hub, commit, path),
      onDownload: () => this.#report("download", path, 0, file.size ?? 0),
      onProgress: (loaded, total) => this.#report("progress", path, loaded, total),
    });
    await cache.link(file.hash, commit, path);
    await cache.writeRef(revision, commit);
    this.#good.add(path);
    const opened = await cache.find(commit, path);
    if (!opened)
      throw new HubError(`${where}: vanished from the cache ${cache.root}; is something clearing it? Load again`);
    this.#report("done", path, opened.size, opened.size);
    return opened;
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
