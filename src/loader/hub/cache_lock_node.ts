import { randomUUID } from "node:crypto";
import { link, readFile, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { cacheError } from "./cache_node.js";
import { systemClock } from "./hub_retry.js";

/** A holder that has not touched its lock for so long is taken for dead, whatever its process id says. */
const STALE = 60_000;
const STALE_EMPTY = 2000;
const HEARTBEAT = 10_000;
const POLL = 100;

/**
 * Runs `work` while holding a lock file against other processes. Best effort, to spare downloads: nothing relies on it.
 * The lock of a process that has died is broken.
 *
 * @param isDone asked while waiting; when it says true the work is done and this gives null
 */
export async function withLock<T>(
  path: string,
  work: () => Promise<T>,
  { isDone, signal }: { isDone: () => Promise<boolean>; signal?: AbortSignal },
): Promise<T | null> {
  const own = JSON.stringify({ pid: process.pid, host: hostname(), id: randomUUID() });
  while (!(await acquire(path, own))) {
    if (await isDone()) return null;
    await breakStale(path);
    await systemClock.sleep(POLL, signal);
  }
  const beat = setInterval(() => {
    const now = new Date();
    utimes(path, now, now).catch(() => undefined);
  }, HEARTBEAT);
  beat.unref();
  try {
    return await work();
  } finally {
    clearInterval(beat);
    if ((await readFile(path, "utf8").catch(() => "")) === own) await rm(path, { force: true });
  }
}

async function acquire(path: string, own: string): Promise<boolean> {
  try {
    await writeFile(path, own, { flag: "wx" });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw cacheError(path, error);
  }
}

async function breakStale(path: string): Promise<void> {
  const [text, info] = await Promise.all([readFile(path, "utf8").catch(() => null), stat(path).catch(() => null)]);
  if (text === null || info === null) return;
  // Empty: killed between creating and writing it.
  if (Date.now() - info.mtimeMs < (text === "" ? STALE_EMPTY : STALE) && !isDead(text)) return;
  // Whoever renames it breaks it; if another process broke it first and holds a new one, that is put back.
  const broken = `${path}.${randomUUID().slice(0, 8)}`;
  await rename(path, broken).catch(() => undefined);
  if ((await readFile(broken, "utf8").catch(() => text)) !== text) await link(broken, path).catch(() => undefined);
  await rm(broken, { force: true });
}

function isDead(text: string): boolean {
  try {
    const { pid, host } = JSON.parse(text) as { pid: unknown; host: unknown };
    if (host !== hostname() || typeof pid !== "number" || !Number.isInteger(pid) || pid <= 0) return false;
    process.kill(pid, 0);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ESRCH";
  }
}
