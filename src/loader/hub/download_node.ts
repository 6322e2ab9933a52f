import { constants } from "node:fs";
import { open, rename, rm, stat, statfs, type FileHandle } from "node:fs/promises";
import { dirname } from "node:path";
import { quote } from "../errors.js";
import { exchange, type Exchange } from "../fetch.js";
import { mostBytesOf, tooLong } from "../text_files.js";
import { cacheError } from "./cache_node.js";
import { hashFile } from "./file_hash_node.js";
import { asked, type Hub, type HubFile } from "./hub_api.js";
import { HubError, statusError } from "./hub_errors.js";
import { withRetries } from "./hub_retry.js";

/** A killed process loses no more than this of what it has received. */
export const FLUSH_BYTES = 1 << 20;

export interface Download extends HubFile {
  hub: Hub;
  url: string;
  /** File and repository, for messages. */
  where: string;
  /** Where the whole and verified file goes. */
  target: string;
  onProgress?: (loaded: number, total: number) => void;
}

/**
 * Downloads a file to `<target>.partial`, from where an earlier process left it, checks length and hash, and only then
 * gives it its name. A file whose hash is wrong is fetched once more from the start.
 *
 * @throws HubError naming file and fault, ConfigError for a text without end; what was received stays for the next time, unless it
 *   is wrong
 */
export async function download(job: Download): Promise<void> {
  checkLength(job, job.size);
  const partial = `${job.target}.partial`;
  try {
    await checkSpace(job, partial);
    for (let again = false; ; again = true) {
      const size = await withRetries((progressed) => receive(job, partial, progressed), job.hub);
      const hash = await hashFile(partial, size, job.hash, job.hub.signal);
      if (hash === job.hash) break;
      await rm(partial, { force: true });
      if (again)
        throw new HubError(
          `${job.where}: the bytes received are not those that the hub names: their hash is ${hash}, expected ` +
            `${job.hash} (fetched twice); is there a proxy or mirror that changes files?`,
        );
    }
    await rename(partial, job.target);
  } catch (error) {
    if ((await stat(partial).catch(() => null))?.size === 0) await rm(partial, { force: true });
    throw error instanceof Error && "syscall" in error ? cacheError(partial, error) : error;
  }
}

/** @throws ConfigError for a text file of more bytes than one may have */
function checkLength({ url, where }: Download, size: number | null): void {
  if (size !== null && size > mostBytesOf(url)) throw tooLong(where, size);
}

async function checkSpace({ size, where }: Download, partial: string): Promise<void> {
  const disk = await statfs(dirname(partial)).catch(() => null);
  const held = (await stat(partial).catch(() => null))?.size ?? 0;
  const needed = (size ?? 0) - held;
  const free = disk ? disk.bavail * disk.bsize : Infinity;
  if (needed <= free) return;
  throw new HubError(
    `${where}: needs ${needed} bytes on the disk of ${dirname(partial)}, ${free} are free; free space, or put the cache ` +
      "elsewhere (option cacheDir, HF_HOME)",
  );
}

/** One try to receive what is missing; gives the file's size. */
async function receive(job: Download, partial: string, progressed: () => void): Promise<number> {
  const { hub, url, where, size } = job;
  const file = await open(partial, constants.O_RDWR | constants.O_CREAT, 0o666);
  try {
    let { size: held } = await file.stat();
    if (size !== null && held > size) {
      await file.truncate(0);
      held = 0;
    }
    if (held > 0) job.onProgress?.(held, size ?? 0);
    if (held === size) return held;
    const headers: Record<string, string> = held > 0 ? { Range: `bytes=${held}-` } : {};
    const whole = await exchange(hub, { method: "GET", url, headers, asked: asked(hub, where) }, async (it) => {
      const { start, total } = await checkAnswer(job, it, held, file);
      return store(job, it, file, { start, held, total, progressed });
    });
    await file.datasync(); // before the rename, or a crash of the machine could leave a whole name and half a file
    return whole;
  } finally {
    await file.close();
  }
}

/** Checks that the answer holds the bytes asked for; gives where they begin and the size of the file, if it says that. */
async function checkAnswer(
  job: Download,
  { response, fromHub }: Exchange,
  held: number,
  file: FileHandle,
): Promise<{ start: number; total: number | null }> {
  const { where, hub, hash, size } = job;
  const { status, headers } = response;
  if (status === 416 && held > 0) {
    await file.truncate(0);
    throw new HubError(`${where}: the server has no bytes from ${held} on`, { passing: true });
  }
  if (status !== 200 && status !== 206) throw statusError(response, asked(hub, where), hub.clock.now());
  if (/^text\/html/i.test(headers.get("content-type") ?? "") && !/\.html?$/.test(job.url))
    throw new HubError(
      `${where}: the server answered with an HTML page; does the network want a log-in (captive portal, proxy)?`,
    );
  const named = (fromHub("x-linked-etag") ?? fromHub("etag") ?? "").replace(/^W\//, "").replaceAll('"', "");
  if (/^[0-9a-f]{40,64}$/.test(named) && named !== hash)
    throw new HubError(`${where}: has changed on the server (hash ${named}, a moment ago ${hash}); load again`);
  const encoded = (headers.get("content-encoding") ?? "identity") !== "identity";
  const length = encoded ? NaN : Number(headers.get("content-length") ?? NaN);
  let start = 0;
  let total: number | null = Number.isNaN(length) ? null : length;
  if (status === 206) {
    const range = headers.get("content-range") ?? "(none)";
    const [, first, last, all] = (/^bytes (\d+)-(\d+)\/(\d+)$/.exec(range) ?? []).map(Number);
    if (held === 0 || encoded || first !== held || last !== all - 1)
      throw new HubError(
        `${where}: asked for ${held === 0 ? "the file" : `bytes from ${held} on`}, the server answered with ` +
          `Content-Range ${quote(range)}`,
      );
    [start, total] = [first, all];
  }
  if (size !== null && total !== null && total !== size)
    throw new HubError(`${where}: the server sends ${total} bytes, the hub names ${size}`, { passing: true });
  checkLength(job, total);
  return { start, total: size ?? total };
}

interface Place {
  /** Where in the file the answer begins. */
  start: number;
  /** Bytes that the file has already; those that come once more are skipped. */
  held: number;
  total: number | null;
  progressed: () => void;
}

/** Writes the body to its place; gives the file's size. */
async function store(job: Download, it: Exchange, file: FileHandle, place: Place): Promise<number> {
  const { start, held, total, progressed } = place;
  const most = total ?? mostBytesOf(job.url);
  let position = start; // of the next byte from the network
  let written = held;
  let waiting: Uint8Array[] = [];
  let waitingBytes = 0;

  async function flush(): Promise<void> {
    if (waitingBytes === 0) return;
    for (const chunk of waiting) {
      await file.write(chunk, 0, chunk.length, written);
      written += chunk.length;
    }
    [waiting, waitingBytes] = [[], 0];
    job.onProgress?.(written, total ?? 0);
  }

  try {
    for (let chunk = await it.read(); chunk; chunk = await it.read()) {
      const skipped = Math.min(chunk.length, Math.max(0, held - position));
      position += chunk.length;
      if (position > most) {
        waiting = [];
        waitingBytes = 0;
        await file.truncate(0);
        if (total === null) throw tooLong(job.where);
        throw new HubError(`${job.where}: the server sends more than the ${total} bytes that the file has`);
      }
      if (skipped < chunk.length) waiting.push(chunk.subarray(skipped));
      waitingBytes += chunk.length - skipped;
      if (waitingBytes < FLUSH_BYTES) continue;
      await flush();
      progressed();
    }
  } finally {
    await flush(); // also when the connection broke: the next try goes on from there
  }
  if (total !== null && position < total)
    throw new HubError(`${job.where}: the answer was cut at ${position} of ${total} bytes`, { passing: true });
  return position;
}
