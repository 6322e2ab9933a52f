/** What is asked of a hub besides the files' bytes: which commit a revision is, and a file's hash and size. */
import { quote } from "../errors.js";
import { exchange, readSmall, type Exchange, type HubRequest, type Transport } from "../fetch.js";
import { HubError, statusError, type Asked } from "./hub_errors.js";
import { checkCommit, checkETag } from "./hub_options.js";
import { withRetries } from "./hub_retry.js";

const MAX_ANSWER = 8 << 20;

/** A hub, and the repository on it. */
export interface Hub extends Transport {
  id: string;
}

export interface HubFile {
  /** SHA-256 of a large file, git's blob hash of a small one. */
  hash: string;
  /** Bytes; null if the server does not say. */
  size: number | null;
}

export const asked = ({ id, token, endpoint }: Hub, where: string): Asked => ({
  repository: id,
  where,
  hasToken: token !== undefined,
  endpoint,
});

/** The address of a file at a commit. */
export function fileURL({ endpoint, id }: Hub, commit: string, path: string): string {
  return `${endpoint}/${id}/resolve/${commit}/${path.split("/").map(encodeURIComponent).join("/")}`;
}

/**
 * GETs (or, with a body, POSTs for) JSON text, tries again where that may help, and gives it as a Response for whoever
 * parses it.
 */
export async function fetchJSON(
  hub: Hub,
  url: string,
  where: string,
  { tries, body }: { tries?: number; body?: string } = {},
): Promise<Response> {
  const request: HubRequest = {
    method: body === undefined ? "GET" : "POST",
    url,
    body,
    asked: asked(hub, where),
    headers: { Accept: "application/json", ...(body !== undefined && { "Content-Type": "application/json" }) },
  };
  const text = await withRetries(() => exchange(hub, request, (it) => readJSONText(hub, it, where)), {
    clock: hub.clock,
    signal: hub.signal,
    tries,
  });
  return new Response(text, { headers: { "content-type": "application/json" } });
}

async function readJSONText(hub: Hub, it: Exchange, where: string): Promise<string> {
  if (it.response.status !== 200) throw statusError(it.response, asked(hub, where), hub.clock.now());
  const text = new TextDecoder().decode(await readSmall(it, MAX_ANSWER, where));
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    const page = /^\s*</.test(text);
    const what = page
      ? "the server answered with a page instead of JSON; is the endpoint right, or does the network want a log-in?"
      : `the server's JSON is broken or cut (${(cause as Error).message})`;
    throw new HubError(`${where}: ${what}`, { passing: !page, cause });
  }
  if (typeof value === "object" && value !== null) return text;
  throw new HubError(`${where}: the server answered with JSON that is no object; is the endpoint right?`);
}

/**
 * Asks for a file's hash and size with one small request, as Python's huggingface_hub does: a HEAD that follows redirects
 * only inside the hub, because the hash is in the headers of the redirect to the CDN.
 *
 * @returns null if the repository has no such file at this commit; `known`: the hub said so itself
 */
export async function fileInfo(
  hub: Hub,
  commit: string,
  path: string,
  where: string,
): Promise<HubFile | { missing: true; known: boolean }> {
  const request = { method: "HEAD", url: fileURL(hub, commit, path), asked: asked(hub, where) } as const;
  const isFinal = ({ headers }: Response): boolean => headers.has("x-linked-etag") && headers.has("x-linked-size");
  return withRetries(
    () =>
      exchange(hub, { ...request, isFinal }, async ({ response, fromHub }) => {
        const { status, headers } = response;
        const code = headers.get("x-error-code");
        if (code === "EntryNotFound" || ((status === 404 || status === 410) && code === null))
          return { missing: true, known: code !== null } as const;
        const redirected = status >= 300 && status < 400;
        if (status !== 200 && !(redirected && isFinal(response)))
          throw statusError(response, asked(hub, where), hub.clock.now());
        const answered = fromHub("x-repo-commit");
        if (answered === null) throw new HubError(`${where}: ${NO_HUB}`);
        if (checkCommit(answered, where) !== commit)
          throw new HubError(`${where}: asked for commit ${commit}, the server answered with ${answered}; load again`);
        const hash = checkETag(fromHub("x-linked-etag") ?? headers.get("etag"), where);
        const encoded = headers.get("content-encoding") ?? "identity";
        const length =
          fromHub("x-linked-size") ?? (redirected || encoded !== "identity" ? null : headers.get("content-length"));
        return { hash, size: length === null ? null : checkSize(length, where) };
      }),
    { clock: hub.clock, signal: hub.signal },
  );
}

const NO_HUB =
  "the answer names no commit (X-Repo-Commit), so that it is not a hub's; is the endpoint right, or does the network " +
  "want a log-in (captive portal, proxy)?";

function checkSize(length: string, where: string): number {
  const size = /^\d{1,16}$/.test(length) ? Number(length) : NaN;
  if (Number.isSafeInteger(size)) return size;
  throw new HubError(`${where}: the server gives the file's size as ${quote(length)}`);
}

/** The commit in the hub's description of a model. */
export function commitOf(info: unknown, where: string): string {
  const sha = (info as { sha?: unknown } | null)?.sha;
  return checkCommit(sha, where);
}
