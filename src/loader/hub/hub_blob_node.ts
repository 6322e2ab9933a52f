import { mkdir } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { untilAborted } from "../signals.js";
import { Turns } from "../turns.js";
import { withLock } from "./cache_lock_node.js";
import { cacheError, type HubCache } from "./cache_node.js";
import { download, type Download } from "./download_node.js";
import { HubError } from "./hub_errors.js";

/** So many downloads run at once. */
const downloads = new Turns(4);

/** What is being brought in, by target: callers in one process share it. */
const running = new Map<string, Promise<void>>();

export interface BlobJob extends Omit<Download, "target"> {
  cache: HubCache;
  /** Called when there is something to fetch. */
  onDownload: () => void;
}

/**
 * Brings a file's bytes into the cache under the name of their hash. What lies there already, whoever left it, is taken if
 * it has that hash, and replaced if not.
 *
 * @throws HubError, RepositoryError naming file or cache, and fault; the signal's reason
 */
export async function bringBlob({ cache, onDownload, ...job }: BlobJob): Promise<void> {
  const { signal } = job.hub;
  const target = cache.blob(job.hash);
  await cache.prepare();
  await once(
    target,
    async () => {
      const lock = await lockFile(cache, target);
      const isDone = (): Promise<boolean> => cache.holds(job, signal);
      const work = async (): Promise<void> => {
        if (await isDone()) return;
        onDownload();
        await download({ ...job, target });
      };
      await downloads.run(() => withLock(lock, work, { isDone, signal }), signal);
    },
    signal,
  );
}

/** Beside the locks of Python's client, which leaves its files there, too. */
async function lockFile({ root }: HubCache, target: string): Promise<string> {
  const folder = join(dirname(root), ".locks", basename(root));
  await mkdir(folder, { recursive: true }).catch((error: unknown) => {
    throw cacheError(folder, error);
  });
  return join(folder, `${basename(target)}.pid`);
}

/** One download of a file at a time; whoever comes later waits for the first, but not for its abort signal. */
async function once(target: string, work: () => Promise<void>, signal: AbortSignal | undefined): Promise<void> {
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
