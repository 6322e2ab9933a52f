import { quote, RepositoryError } from "../errors.js";
import { exchange, readSmall } from "../fetch.js";
import { checkRange } from "../paths.js";
import type { RepositoryFile } from "../repository.js";
import { PIECE_BYTES, type PieceCache } from "./cache_pieces.js";
import { asked, type Hub } from "./hub_api.js";
import { HubError, statusError } from "./hub_errors.js";
import { withRetries } from "./hub_retry.js";
import { SHA256 } from "./sha256.js";

/** A file whose pieces are kept. */
export interface NamedPieces {
  hash: string;
  /** Bytes of the whole file. */
  size: number;
}

/** What the cache notes of a file, by its address. */
export type FileNote = NamedPieces & {
  /** Whether some pieces may be missing: its download began, and has not ended. */
  isPart: boolean;
};

export interface PiecesJob extends NamedPieces {
  hub: Hub;
  cache: PieceCache;
  url: string;
  /** File and repository, for messages. */
  where: string;
  onProgress: (loaded: number) => void;
}

/** The browser does not let the page keep more. */
export class StorageFullError extends Error {}

const pieceCount = (size: number): number => Math.ceil(size / PIECE_BYTES);

/** A note as it is read; "absent" where the hub said that there is no such file, null where nothing is noted. */
export function noteOf(value: unknown): "absent" | FileNote | null {
  if (value === "absent") return value;
  const { part } = (value ?? {}) as { part?: unknown };
  const { hash, size } = (part ?? value ?? {}) as { hash?: unknown; size?: unknown };
  return typeof hash === "string" && typeof size === "number" ? { hash, size, isPart: part !== undefined } : null;
}

/**
 * Works on a file's pieces while no other tab does, where browsers have locks. With `ifAvailable` it does not wait for the other tab,
 * and the work is told so.
 */
async function pieceLock(hash: string, options: LockOptions, work: (isFree: boolean) => Promise<void>): Promise<void> {
  const locks = typeof navigator === "undefined" ? undefined : navigator.locks;
  if (!locks) return work(true);
  await locks.request(`webgpu-diffusers ${hash}`, options, (lock) => work(lock !== null));
}

/**
 * Brings a file's missing pieces into the cache, verifies the hash of the whole, and notes that it is there. A page that is
 * closed meanwhile goes on from the last whole piece next time. Two tabs take turns.
 *
 * @throws HubError naming file and fault; StorageFullError
 */
export async function downloadPieces(job: PiecesJob): Promise<void> {
  const { cache, url, size } = job;
  const note = (value: unknown): Promise<void> =>
    cache.writeNote(url, value).catch((cause: unknown) => {
      throw new StorageFullError(String(cause), { cause });
    });
  const work = async (): Promise<void> => {
    // Whose the pieces are, should no more come. Where another tab was faster, they all are there.
    if ((await cache.readNote(url)) === null) await note({ part: { hash: job.hash, size } });
    for (let again = false; ; again = true) {
      const hash = await fetchAll(job);
      if (hash === job.hash) return note({ hash, size });
      await deletePieces(job);
      if (again)
        throw new HubError(
          `${job.where}: the bytes received are not those that the hub names: their hash is ${hash}, expected ${job.hash} ` +
            "(fetched twice); is there a proxy or mirror that changes files?",
        );
    }
  };
  const { signal } = job.hub;
  await pieceLock(job.hash, { ...(signal && { signal }) }, work);
}

async function deletePieces({ cache, hash, size }: Pick<PiecesJob, "cache" | "hash" | "size">): Promise<void> {
  await cache.deletePieces(hash, pieceCount(size)).catch(() => undefined);
}

/** What some notes name, by its hash. */
export async function filesOf(cache: PieceCache, keys: readonly string[]): Promise<Map<string, FileNote>> {
  const files = new Map<string, FileNote>();
  for (const key of keys) {
    const note = noteOf(await cache.readNote(key));
    if (note !== null && note !== "absent") files.set(note.hash, note);
  }
  return files;
}

/**
 * Deletes the pieces of a file, unless another note names it, or a page is downloading it.
 * @param parts notes of downloads that were interrupted, which go with the pieces
 */
export async function deleteUnnamed(
  cache: PieceCache,
  file: NamedPieces,
  parts: readonly string[] = [],
): Promise<void> {
  await pieceLock(file.hash, { ifAvailable: true }, async (isFree) => {
    if (!isFree) return;
    for (const key of parts) await cache.deleteNote(key);
    // Looked at now: another page may have noted it meanwhile.
    if (!(await filesOf(cache, await cache.noteKeys())).has(file.hash)) await deletePieces({ cache, ...file });
  });
}

/** Gives the hash of what is in the cache in the end, in the form of `job.hash`. */
async function fetchAll({ cache, size, hash, ...job }: PiecesJob): Promise<string> {
  const sha256 = new SHA256();
  const isGit = hash.length === 40;
  const parts: BlobPart[] = [`blob ${size}\0`];
  for (let index = 0; index < pieceCount(size); index++) {
    job.hub.signal?.throwIfAborted();
    const [start, end] = [index * PIECE_BYTES, Math.min(size, (index + 1) * PIECE_BYTES)];
    const kept = await cache.readPiece(hash, index);
    const bytes =
      kept?.size === end - start
        ? new Uint8Array(await kept.arrayBuffer())
        : await withRetries(() => fetchPiece(job, start, end, size), job.hub);
    if (kept?.size !== bytes.length)
      await cache.writePiece(hash, index, bytes).catch((cause: unknown) => {
        throw new StorageFullError(String(cause), { cause });
      });
    if (isGit) parts.push(bytes);
    else sha256.update(bytes);
    job.onProgress(end);
  }
  if (!isGit) return sha256.digest();
  // git's files are small ones
  const digest = await crypto.subtle.digest("SHA-1", await new Blob(parts).arrayBuffer());
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function fetchPiece(
  { hub, url, where }: Pick<PiecesJob, "hub" | "url" | "where">,
  start: number,
  end: number,
  size: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const headers = { Range: `bytes=${start}-${end - 1}` };
  return exchange(hub, { method: "GET", url, headers, asked: asked(hub, where) }, async (it) => {
    const { status, headers: said } = it.response;
    if (status !== 200 && status !== 206) throw statusError(it.response, asked(hub, where), hub.clock.now());
    const range = said.get("content-range");
    const fits = status === 200 ? start === 0 && end === size : range === `bytes ${start}-${end - 1}/${size}`;
    if (!fits)
      throw new HubError(
        `${where}: asked for bytes ${start}-${end - 1} of ${size}, the server answered ${status} with Content-Range ` +
          `${quote(range ?? "(none; does the server expose it to CORS?)")}`,
      );
    const bytes = await readSmall(it, end - start, where);
    if (bytes.length < end - start)
      throw new HubError(`${where}: the answer was cut at ${start + bytes.length} of ${size} bytes`, { passing: true });
    return bytes;
  });
}

/** A file whose pieces are all in the cache. */
export class PieceFile implements RepositoryFile {
  constructor(
    readonly path: string,
    readonly size: number,
    private readonly cache: PieceCache,
    private readonly hash: string,
  ) {}

  async read(start = 0, end = this.size): Promise<Uint8Array<ArrayBuffer>> {
    checkRange(this.path, this.size, start, end);
    const bytes = new Uint8Array(end - start);
    for (let at = start; at < end;) {
      const index = Math.floor(at / PIECE_BYTES);
      const from = at - index * PIECE_BYTES;
      const to = Math.min(PIECE_BYTES, end - index * PIECE_BYTES);
      const piece = await this.cache.readPiece(this.hash, index);
      if (!piece || piece.size < to)
        throw new RepositoryError(`${this.path}: the browser has cleared its cache meanwhile; load again`);
      bytes.set(new Uint8Array(await piece.slice(from, to).arrayBuffer()), at - start);
      at = index * PIECE_BYTES + to;
    }
    return bytes;
  }
}
