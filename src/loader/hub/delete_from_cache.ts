/** Deleting a repository of the hub from a browser's cache, which keeps the files of every commit that was loaded. */
import { inNode, ownCaches } from "../../arguments/environment.js";
import { quote, RepositoryError } from "../errors.js";
import { PieceCache } from "./cache_pieces.js";
import { deleteUnnamed, filesOf, noteOf } from "./download_pieces.js";
import { checkEndpoint, DEFAULT_ENDPOINT, hubOptions, isCommit, isHubId, type HubOptions } from "./hub_options.js";

/**
 * Frees what a browser keeps of a repository on the hub: the files of all commits, those of superseded ones among them, and
 * downloads that were interrupted. The next load fetches it again. Files that another repository has, too, stay for it, and so
 * do those that a page is downloading just now.
 *
 * @param id "owner/name"
 * @param options endpoint: the hub that it was loaded from, by default https://huggingface.co
 * @returns whether anything of it was kept
 * @throws RepositoryError in Node, whose cache is Python's; for a wrong endpoint; TypeError for wrong options
 */
export async function deleteFromCache(id: string, options?: Pick<HubOptions, "endpoint"> | null): Promise<boolean> {
  if (inNode())
    throw new RepositoryError(
      "deleteFromCache: is for browsers; in Node the cache is the one of Python's huggingface_hub: " +
        `delete its folder models--${String(id).replace("/", "--")}, or use \`hf cache\``,
    );
  return deleteFrom(ownCaches(), id, hubOptions(options, "deleteFromCache"));
}

/** The same in given caches. */
export async function deleteFrom(
  caches: CacheStorage | undefined,
  id: string,
  { endpoint }: Pick<HubOptions, "endpoint">,
): Promise<boolean> {
  if (typeof id !== "string" || !isHubId(id))
    throw new RepositoryError(`deleteFromCache: ${quote(String(id))} is no id on the hub, such as "owner/name"`);
  const base = `${checkEndpoint(endpoint ?? DEFAULT_ENDPOINT)}/${id}`;
  const cache = await PieceCache.open(caches);
  if (!cache) return false;
  const own = (await cache.noteKeys()).filter((key) => belongs(key, base));
  const files = await filesOf(cache, own);
  const parts = new Map<string, string[]>();
  for (const key of own) {
    const note = noteOf(await cache.readNote(key));
    if (note !== null && note !== "absent" && note.isPart) parts.set(note.hash, [...(parts.get(note.hash) ?? []), key]);
    // Before the pieces: it says that all are there.
    else await cache.deleteNote(key);
  }
  for (const file of files.values()) await deleteUnnamed(cache, file, parts.get(file.hash));
  return own.length > 0;
}

/** Whether a note is of a branch or a file of this repository, and not of one whose owner has its name. */
function belongs(key: string, base: string): boolean {
  if (key.startsWith(`${base}/refs/`)) return true;
  const start = `${base}/resolve/`;
  return key.startsWith(start) && isCommit(key.slice(start.length).split("/")[0]);
}
