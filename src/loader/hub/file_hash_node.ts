import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";

/**
 * The hash by which the hub would name a file, of the kind that `like` is: SHA-256, or git's SHA-1 of a blob.
 * @throws the file system's error; the signal's reason
 */
export async function hashFile(path: string, size: number, like: string, signal?: AbortSignal): Promise<string> {
  const hash = like.length === 64 ? createHash("sha256") : createHash("sha1").update(`blob ${size}\0`);
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) {
    signal?.throwIfAborted();
    hash.update(chunk as Uint8Array);
  }
  return hash.digest("hex");
}
