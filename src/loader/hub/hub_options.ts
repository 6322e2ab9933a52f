import { checkFunction } from "../../arguments/options.js";
import { shown } from "../../arguments/shown.js";
import { givenOptions, type WithoutNulls } from "../../arguments/spelling.js";
import { quote, RepositoryError } from "../errors.js";
import { checkPath } from "../paths.js";

/** What loading reports, in the shape of transformers.js' `progress_callback`. */
export interface LoadProgress {
  /** In this order for each file; a file that is cached already goes from "initiate" to "done". */
  status: "initiate" | "download" | "progress" | "done";
  /** The repository, or the class of the model whose weights go to the GPU. */
  name: string;
  /** Of a download its path inside the repository; of weights on their way to the GPU where the first of their files is. */
  file: string;
  /** Bytes so far. */
  loaded: number;
  /** Bytes of the whole file; 0 while that is not known. */
  total: number;
  /** Percent. */
  progress: number;
}

/**
 * How `fromPretrained` reaches a repository. All but `fetch` and `signal` matter for ids on the Hugging Face hub only. null is as
 * nothing, as Python's None.
 */
export interface HubOptions {
  /** Branch, tag or commit; by default "main". */
  revision?: string | null;
  /**
   * Access token for private and gated repositories; by default the stored one, HF_TOKEN or that of `hf auth login`, if there is
   * one. true: it is an error if there is none, as in browsers, which store none. false: no token.
   */
  token?: string | boolean | null;
  /** Address of a hub or mirror; by default HF_ENDPOINT or https://huggingface.co. */
  endpoint?: string | null;
  /** Replaces the global fetch (proxies, tests). */
  fetch?: typeof fetch | null;
  /** Folder of the cache that is shared with Python's huggingface_hub; by default HF_HUB_CACHE or HF_HOME/hub. */
  cacheDir?: string | null;
  /** Takes cached files only and never touches the network; so does HF_HUB_OFFLINE=1. */
  localFilesOnly?: boolean | null;
  /** Ends the call with its reason, downloads included. */
  signal?: AbortSignal | null;
  /** What it throws ends the load. An async one is not waited for, but what it rejects with ends the load, too. */
  progressCallback?: ((progress: LoadProgress) => unknown) | null;
}

/** HubOptions as they are used inside. */
export type GivenHubOptions = WithoutNulls<HubOptions>;

export const DEFAULT_ENDPOINT = "https://huggingface.co";
export const DEFAULT_REVISION = "main";
const COMMIT = /^[0-9a-f]{40}$/;
const BLOB = /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/;

/** @throws TypeError naming the option; what becomes part of an address or a header is checked where it does */
function checkKinds({ fetch, progressCallback, cacheDir }: GivenHubOptions): void {
  checkFunction("fetch", fetch);
  checkFunction("progressCallback", progressCallback);
  if (cacheDir !== undefined && typeof cacheDir !== "string")
    throw new TypeError(`cacheDir must be the path of a folder, got ${shown(cacheDir)}`);
}

function pick(options: GivenHubOptions): GivenHubOptions {
  const { revision, token, endpoint, fetch, cacheDir, localFilesOnly, signal, progressCallback } = options;
  return { revision, token, endpoint, fetch, cacheDir, localFilesOnly, signal, progressCallback };
}

/** Names of all HubOptions. */
export const HUB_OPTION_NAMES: readonly string[] = Object.keys(pick({}));

/**
 * Those of `options`, without others. Python's spelling is understood: who writes local_files_only must not get the network.
 * @throws TypeError for anything but a plain object, and for values of the wrong type
 */
export function hubOptions(options: HubOptions | null | undefined, caller?: string): GivenHubOptions {
  const given = pick(givenOptions(options, HUB_OPTION_NAMES, caller));
  checkKinds(given);
  return given;
}

/** As the hub's ids look (huggingface_hub's validate_repo_id): "name" or "owner/name". */
export function isHubId(text: string): boolean {
  return (
    text.length <= 96 &&
    /^[A-Za-z0-9_](?:[\w.-]*[A-Za-z0-9_])?(?:\/[A-Za-z0-9_](?:[\w.-]*[A-Za-z0-9_])?)?$/.test(text) &&
    !/--|\.\.|\.git$/.test(text)
  );
}

export const isCommit = (text: string): boolean => COMMIT.test(text);

/** Whether it is what the hub names a file's bytes by: SHA-256, or git's SHA-1. */
export const isBlobHash = (text: string): boolean => BLOB.test(text);

/** A revision becomes part of an address and the name of a file in the cache. Throws RepositoryError. */
export function checkRevision(revision: unknown): string {
  try {
    if (typeof revision === "string" && !/[\s~^?*[\]]|@\{/.test(revision)) return checkPath(revision);
  } catch {
    // said below
  }
  throw new RepositoryError(
    `revision ${shown(revision)}: must be a branch, a tag or a commit, such as "main" or "refs/pr/1"`,
  );
}

/** The commit that a server names; it becomes the name of a folder. Throws RepositoryError. */
export function checkCommit(commit: unknown, where: string): string {
  if (typeof commit === "string" && COMMIT.test(commit)) return commit;
  throw new RepositoryError(
    `${where}: the server names the commit ${shown(commit)}, which is not 40 hex digits; is it a Hugging Face hub?`,
  );
}

/** The hash in an ETag (`"…"` or `W/"…"`): 64 hex digits of SHA-256, or 40 of a git blob's SHA-1. Throws RepositoryError. */
export function checkETag(etag: string | null, where: string): string {
  const hash = (etag ?? "").replace(/^W\//, "").replace(/^"(.*)"$/, "$1");
  if (isBlobHash(hash)) return hash;
  throw new RepositoryError(
    `${where}: the server names the ETag ${etag === null ? "(none)" : quote(etag)}, which is no SHA-256 and no git hash, ` +
      "so that the file could not be verified; is it a Hugging Face hub?",
  );
}

/** Address of a hub without "/" at its end. Throws RepositoryError. */
export function checkEndpoint(endpoint: string): string {
  const url = URL.canParse(endpoint) ? new URL(endpoint) : null;
  if (url && /^https?:$/.test(url.protocol) && !url.search && !url.hash && !url.username)
    return url.href.replace(/\/+$/, "");
  throw new RepositoryError(
    `endpoint ${quote(endpoint, 200)}: must be the http(s) address of a hub, such as ${DEFAULT_ENDPOINT} (option endpoint, HF_ENDPOINT)`,
  );
}

/** A token goes into a header. A string is never part of a message. Throws RepositoryError; TypeError for what is no string. */
export function checkToken(token: unknown): string {
  if (typeof token !== "string")
    throw new TypeError(`token: must be a string, true, false or null, got ${typeof token}`);
  if (/^[\x21-\x7e]{1,4096}$/.test(token)) return token;
  throw new RepositoryError("token: must be printable ASCII without spaces (option token, HF_TOKEN)");
}
