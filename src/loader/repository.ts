import { inNode } from "../arguments/environment.js";
import { reporter } from "../arguments/progress.js";
import { shown } from "../arguments/shown.js";
import { throwIfAborted } from "../arguments/signal.js";
import { addressesIn } from "./addressed_folder.js";
import { quote, RepositoryError } from "./errors.js";
import { HandleRepository, isDirectoryHandle } from "./handle_repository.js";
import { hubOptions, isHubId, type GivenHubOptions, type HubOptions } from "./hub/hub_options.js";
import { eitherSignal, withSignal } from "./signals.js";
import { URLRepository } from "./url_repository.js";

export { readJSON } from "./config.js";
export { ConfigError, RepositoryError, SafetensorsError } from "./errors.js";
export { HUB_OPTION_NAMES, type HubOptions, type LoadProgress } from "./hub/hub_options.js";

/** One file of a repository, read in pieces. */
export interface RepositoryFile {
  /** Where it is, for messages: path or address. */
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  /**
   * The bytes [start, end), by default all, in an array of their own, or at the beginning of `into`, which holds as many, where it can be
   * filled. Throws RepositoryError outside 0 <= start <= end <= size.
   */
  read(start?: number, end?: number, into?: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>>;
  /** Called when the file is not read any more. */
  close?(): Promise<void>;
}

/** `signal` ends the call, and what is read of an opened file later, with its reason. */
export interface OpenOptions {
  signal?: AbortSignal;
}

/** A folder in the layout of diffusers, wherever it lies. What has no long waits may leave signals to openRepository(). */
export interface Repository {
  /** What the user called it, for messages. */
  readonly name: string;
  /** Whether open() costs next to nothing, so that all files can be looked for before one is read: no network. */
  readonly isLocal?: boolean;
  /** Opens a file by its path inside the repository; null if there is none. Throws for a path that would leave it. */
  open(path: string, options?: OpenOptions): Promise<RepositoryFile | null>;
  /** Whether there is such a file, without fetching it, where open() would; others are opened to find out. */
  has?(path: string, options?: OpenOptions): Promise<boolean>;
  /** Why the last `open(path)` found nothing, where more is known than "no such file". */
  whyMissing?(path: string): string | undefined;
}

/** What `fromPretrained` takes as its first argument. */
export type RepositorySource = string | URL | Repository | FileSystemDirectoryHandle;

/**
 * Opens a repository: a local folder (Node), an id on the Hugging Face hub ("owner/name"), a `file:` or `http(s):` address
 * of a folder, `EMBEDDED_MODEL`, or an object that is a Repository already. Where a local folder has the name of an id,
 * the folder is meant.
 *
 * Files of the hub are kept: in Node in the cache that Python's huggingface_hub uses, in a browser in its Cache API.
 *
 * @param options others are ignored, null is as none; `signal` also ends what is asked of the repository later; one that is opened
 *   already is given back under it
 * @throws RepositoryError naming the repository, the fault and the cure; TypeError for wrong options; the signal's reason
 */
export async function openRepository(source: RepositorySource, options?: HubOptions | null): Promise<Repository> {
  const hub = hubOptions(options, "openRepository");
  throwIfAborted(hub.signal);
  const { progressCallback } = hub;
  if (progressCallback) {
    const failed = new AbortController();
    hub.progressCallback = reporter(progressCallback, (reason) => failed.abort(reason));
    hub.signal = eitherSignal(hub.signal, failed.signal);
  }
  const { signal } = hub;
  const repository = await openSource(source, hub);
  return signal ? withSignal(repository, signal) : repository;
}

/**
 * Opens a repository, or, where `source` is the path or `file:` address of a file (Node), the folder that it is in.
 * @returns also the file's path inside the repository, in the second case
 * @throws what openRepository() throws
 */
export async function openFileOrRepository(
  source: RepositorySource,
  options?: HubOptions,
): Promise<{ repository: Repository; file?: string }> {
  const file = await findLocalFile(source);
  if (file) return { repository: await openRepository(file.folder, options), file: file.name };
  return { repository: await openRepository(source, options) };
}

/** The folder and name of a file whose path or `file:` address is given (Node); null for anything else. */
export async function findLocalFile(source: RepositorySource): Promise<{ folder: string; name: string } | null> {
  if (!inNode() || !(typeof source === "string" || source instanceof URL)) return null;
  return (await import("./directory_node.js")).findFile(source);
}

async function openSource(source: RepositorySource, options: GivenHubOptions): Promise<Repository> {
  if (source instanceof URL) return openURL(source, options);
  if (isDirectoryHandle(source)) return new HandleRepository(source);
  if (typeof source !== "string") {
    if (typeof source?.open === "function") return source;
    throw new RepositoryError(`repository: expected a folder, an address or a Repository, got ${shown(source)}`);
  }
  if (source.includes("\0")) throw new RepositoryError(`repository ${quote(source)}: the name holds a NUL character`);
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(source)) {
    if (!URL.canParse(source)) throw new RepositoryError(`repository ${quote(source, 200)}: no valid address`);
    return openURL(new URL(source), options);
  }
  if (inNode()) {
    const { openDirectory } = await import("./directory_node.js");
    const directory = await openDirectory(source);
    if (directory) return directory;
  }
  if (isHubId(source)) {
    if (!inNode()) return (await import("./hub/hub_browser.js")).openHubInBrowser(source, options);
    return (await import("./hub/hub_repository_node.js")).openHubRepository(source, options);
  }
  throw new RepositoryError(
    inNode()
      ? `repository ${quote(source, 200)}: no such folder`
      : `repository ${quote(source, 200)}: a browser has no folders; give an id on the hub, or an http(s) address that ends in "/"`,
  );
}

async function openURL(url: URL, options: GivenHubOptions): Promise<Repository> {
  const bundled = url.protocol === "bundled:" && addressesIn(url.href) !== undefined;
  if (bundled && inNode())
    throw new RepositoryError(
      `repository ${quote(url.href)}: a bundle for Node has no model beside it; leave webgpu-diffusers out of it (external; Next.js: serverExternalPackages)`,
    );
  if (bundled || url.protocol === "http:" || url.protocol === "https:")
    return new URLRepository(url, { ...options, files: addressesIn(url.href) });
  if (url.protocol === "file:" && inNode()) {
    const { openDirectory } = await import("./directory_node.js");
    const directory = await openDirectory(url);
    if (directory) return directory;
    throw new RepositoryError(`repository ${quote(url.href, 200)}: no such folder`);
  }
  throw new RepositoryError(
    `repository ${quote(url.href, 200)}: cannot read ${url.protocol} addresses here; use http(s)${inNode() ? " or a folder" : ""}`,
  );
}
