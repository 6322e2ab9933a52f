import { ownCaches } from "../../arguments/environment.js";
import { shown } from "../../arguments/shown.js";
import { RepositoryError } from "../errors.js";
import { checkPath } from "../paths.js";
import { unreadPickle } from "../pickles.js";
import type { OpenOptions, Repository, RepositoryFile } from "../repository.js";
import { eitherSignal } from "../signals.js";
import { mostBytesOf, tooLong } from "../text_files.js";
import { URLRepository } from "../url_repository.js";
import { PieceCache } from "./cache_pieces.js";
import { deleteUnnamed, downloadPieces, noteOf, PieceFile, StorageFullError } from "./download_pieces.js";
import { commitOf, fetchJSON, fileURL, type Hub } from "./hub_api.js";
import { HubError } from "./hub_errors.js";
import {
  checkEndpoint,
  checkETag,
  checkRevision,
  checkToken,
  DEFAULT_ENDPOINT,
  DEFAULT_REVISION,
  isCommit,
  type GivenHubOptions,
  type LoadProgress,
} from "./hub_options.js";
import { systemClock, type Clock } from "./hub_retry.js";

/** For tests. */
interface Replaced extends Partial<Clock> {
  caches?: CacheStorage;
}

/**
 * Opens a repository on the hub in a browser. Files that are opened go to the browser's persistent cache (Cache API), whole
 * and verified; where a page may keep nothing, or no more, they are read by ranges instead. The revision is resolved to a
 * commit once; without a network, the commit and the files of the last time are used, with a warning.
 */
export async function openHubInBrowser(
  id: string,
  options: GivenHubOptions = {},
  { caches = ownCaches(), ...clock }: Replaced = {},
): Promise<Repository> {
  const revision = checkRevision(options.revision ?? DEFAULT_REVISION);
  const { signal, fetch: fetcher = fetch } = options;
  const hub: Hub = {
    id,
    endpoint: checkEndpoint(options.endpoint ?? DEFAULT_ENDPOINT),
    token: browserToken(options),
    signal,
    clock: { ...systemClock, ...clock },
    // A browser does not show where a redirect leads; it follows by itself and keeps the token from foreign origins.
    fetch: (url, init) => fetcher(url, { ...init, redirect: "follow" }),
  };
  signal?.throwIfAborted();
  const cache = await PieceCache.open(caches);
  const where = `${id} at revision ${revision}`;
  const key = `${hub.endpoint}/${id}/refs/${revision}`;
  const note = await cache?.readNote(key);
  const known = isCommit(revision) ? revision : typeof note === "string" && isCommit(note) ? note : null;
  const at = (commit: string, offline: string | null): Repository =>
    new BrowserRepository({ hub, cache, commit, offline, report: options.progressCallback });
  if (options.localFilesOnly) {
    if (known !== null) return at(known, "localFilesOnly is set");
    throw new HubError(`${where}: is not in the browser's cache, and localFilesOnly is set; load it once without`);
  }
  if (isCommit(revision)) return at(revision, null);
  try {
    const api = `${hub.endpoint}/api/models/${id}/revision/${encodeURIComponent(revision)}?expand=sha`;
    const commit = commitOf(await (await fetchJSON(hub, api, where, { tries: known ? 2 : undefined })).json(), where);
    if (commit !== known) await cache?.writeNote(key, commit).catch(() => undefined);
    return at(commit, null);
  } catch (error) {
    signal?.throwIfAborted();
    if (known === null || !(error instanceof HubError) || error.code === "RevisionNotFound") throw error;
    console.warn(`${error.message}. The cached files of commit ${known} are used instead.`);
    return at(known, `the hub could not be asked (${error.message})`);
  }
}

interface Parts {
  hub: Hub;
  cache: PieceCache | null;
  commit: string;
  /** Why nothing may be fetched; null if it may. */
  offline: string | null;
  report: GivenHubOptions["progressCallback"];
}

/** @throws RepositoryError for `true`: a browser has no token of its own */
function browserToken({ token }: GivenHubOptions): string | undefined {
  if (token === true)
    throw new RepositoryError("token: true asks for the stored token, and a browser has none; give the token itself");
  return token === undefined || token === false || token === "" ? undefined : checkToken(token);
}

class BrowserRepository implements Repository {
  readonly name: string;
  readonly isLocal: boolean;
  readonly #parts: Parts;
  readonly #missing = new Map<string, string>();

  constructor(parts: Parts) {
    this.name = parts.hub.id;
    this.isLocal = parts.offline !== null;
    this.#parts = parts;
  }

  whyMissing(path: string): string | undefined {
    return this.#missing.get(path);
  }

  async open(path: string, { signal }: OpenOptions = {}): Promise<RepositoryFile | null> {
    const { cache, commit, offline } = this.#parts;
    checkPath(path);
    const hub = { ...this.#parts.hub, signal: eitherSignal(this.#parts.hub.signal, signal) };
    hub.signal?.throwIfAborted();
    const url = fileURL(hub, commit, path);
    const kept = noteOf(await cache?.readNote(url));
    if (kept === "absent") return this.#absent(path);
    if (kept && !kept.isPart && cache) {
      this.#report("initiate", path);
      this.#report("done", path, kept.size, kept.size);
      return new PieceFile(url, kept.size, cache, kept.hash);
    }
    if (offline !== null) {
      this.#missing.set(path, `it is not in the browser's cache, and ${offline}`);
      return null;
    }
    if (!cache) return this.#byRanges(path, hub);
    const where = `${path} of ${this.name}`;
    const file = await this.#ask(path, where, hub);
    if (file === null) {
      await cache.writeNote(url, "absent").catch(() => undefined);
      return this.#absent(path);
    }
    const { size } = file;
    const unread = unreadPickle(path, where, size);
    if (unread) return unread;
    if (size > mostBytesOf(path)) throw tooLong(where, size);
    this.#report("initiate", path, 0, size);
    this.#report("download", path, 0, size);
    const onProgress = (loaded: number): void => this.#report("progress", path, loaded, size);
    try {
      await downloadPieces({ hub, cache, url, where, ...file, onProgress });
    } catch (error) {
      if (!(error instanceof StorageFullError)) throw error;
      console.warn(`${where}: the browser does not keep it (${error.message}); it is read from the hub each time.`);
      // Pieces that another commit or repository has noted stay.
      await cache.deleteNote(url).catch(() => undefined);
      await deleteUnnamed(cache, file).catch(() => undefined);
      return this.#byRanges(path, hub);
    }
    this.#report("done", path, size, size);
    return new PieceFile(url, size, cache, file.hash);
  }

  /** Hash and size from the hub's API; the headers of the redirect to the CDN, where Python finds them, are not shown. */
  async #ask(path: string, where: string, hub: Hub): Promise<{ hash: string; size: number } | null> {
    const api = `${hub.endpoint}/api/models/${hub.id}/paths-info/${this.#parts.commit}`;
    const answer: unknown = await (
      await fetchJSON(hub, api, where, { body: JSON.stringify({ paths: [path] }) })
    ).json();
    if (!Array.isArray(answer)) throw new HubError(`${where}: the server's answer is no list; is the endpoint right?`);
    const found = (answer as Record<string, unknown>[]).find((entry) => entry?.path === path && entry.type === "file");
    if (!found) return null;
    const large = found.lfs as { oid?: unknown; size?: unknown } | undefined;
    const size = large?.size ?? found.size;
    if (typeof size !== "number" || !Number.isSafeInteger(size) || size < 0)
      throw new HubError(`${where}: the server gives the file's size as ${shown(size)}`);
    return { hash: checkETag(String(large?.oid ?? found.oid), where), size };
  }

  /** Nothing is kept. */
  async #byRanges(path: string, hub: Hub): Promise<RepositoryFile | null> {
    const { fetch, token, signal } = hub;
    const authorized: typeof fetch = (url, init) => {
      const headers = new Headers(init?.headers);
      if (token !== undefined) headers.set("Authorization", `Bearer ${token}`);
      return fetch(url, { ...init, headers });
    };
    const base = new URL(`${hub.endpoint}/${hub.id}/resolve/${this.#parts.commit}/`);
    const repository = new URLRepository(base, { fetch: authorized, signal }, hub.clock);
    const file = await repository.open(path);
    if (!file) this.#missing.set(path, repository.whyMissing(path) ?? "there is no such file");
    return file;
  }

  #absent(path: string): null {
    this.#missing.set(path, `commit ${this.#parts.commit} has no such file`);
    return null;
  }

  #report(status: LoadProgress["status"], file: string, loaded = 0, total = 0): void {
    const progress = total > 0 ? (100 * loaded) / total : status === "done" ? 100 : 0;
    this.#parts.report?.({ status, name: this.name, file, loaded, total, progress });
  }
}
