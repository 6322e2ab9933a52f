import { bytesOfDataURL, type Addresses } from "./addressed_folder.js";
import { quote, RepositoryError } from "./errors.js";
import { exchange, readSmall, reasonOf, type Exchange } from "./fetch.js";
import { HubError, retryOf } from "./hub/hub_errors.js";
import { systemClock, withRetries, type Clock } from "./hub/hub_retry.js";
import { checkPath, checkRange } from "./paths.js";
import type { OpenOptions, Repository, RepositoryFile } from "./repository.js";
import { eitherSignal } from "./signals.js";
import { mostBytesOf, tooLong } from "./text_files.js";

export interface URLRepositoryOptions {
  /** Replaces the global one (tests, proxies). */
  fetch?: typeof fetch;
  /** Aborts every request of the repository. */
  signal?: AbortSignal;
  /** All files of the folder, where that is known, and where they are: others are not asked for. */
  files?: Addresses;
}

/** What an answer may have at most. */
interface Limit {
  bytes: number;
  exceeded: (size?: number) => Error;
}

interface Access extends Omit<URLRepositoryOptions, "files"> {
  clock: Clock;
}

/** The first request takes this much, so that a config, or the header of most weight files, needs no second one. */
const FIRST_BYTES = 64 * 1024;
const TRIES = 3;

const NOT_COPIED =
  "did the bundler leave it behind, or is the library imported from the short address of a CDN? There import " +
  ".../webgpu-diffusers@VERSION/dist/bundle/browser/webgpu-diffusers.js; " +
  'Vite before 8 wants optimizeDeps: { exclude: ["webgpu-diffusers"] } for its ' +
  "development server; elsewhere serve a copy of node_modules/webgpu-diffusers/models/shapes and give its address";

/** A folder behind an http(s) address, read with range requests; servers that ignore ranges cost a whole download. */
export class URLRepository implements Repository {
  readonly name: string;
  readonly #base: URL;
  readonly #access: Access;
  readonly #files: Addresses | undefined;
  readonly #missing = new Map<string, string>();

  /** @param clock for tests */
  constructor(base: URL, options: URLRepositoryOptions = {}, clock: Partial<Clock> = {}) {
    if (base.search !== "" || base.hash !== "") {
      throw new RepositoryError(`repository ${quote(base.href, 200)}: the address of a folder has no "?" and no "#"`);
    }
    this.#base = new URL(base);
    if (!this.#base.pathname.endsWith("/")) this.#base.pathname += "/";
    this.name = this.#base.href;
    this.#files = options.files;
    this.#access = { fetch: options.fetch, signal: options.signal, clock: { ...systemClock, ...clock } };
  }

  async open(path: string, { signal }: OpenOptions = {}): Promise<RepositoryFile | null> {
    const access = { ...this.#access, signal: eitherSignal(this.#access.signal, signal) };
    const escaped = checkPath(path).split("/").map(encodeURIComponent).join("/");
    if (this.#files && !Object.hasOwn(this.#files, path)) return null;
    // Next.js has URLs whose href is a mere path.
    const address = new URL(this.#files?.[path]().href ?? this.#base.href + escaped, globalThis.location?.href);
    const url = address.href;
    if (address.protocol === "data:") {
      const bytes = bytesOfDataURL(address);
      return new URLFile(`${this.name}${path}`, bytes.length, bytes, access);
    }
    const answer = await request(url, [0, FIRST_BYTES], access, async (it, range) => {
      const { status, headers } = it.response;
      if (status === 404 || status === 410) return `${url} answered ${status}`;
      // Development servers answer a missing file with their start page.
      if (status === 200 && headers.get("content-type")?.startsWith("text/html")) return `got an HTML page from ${url}`;
      if (status === 416 && headers.get("content-range") === "bytes */0") return { size: 0, bytes: new Uint8Array(0) };
      const most: Limit = { bytes: mostBytesOf(path), exceeded: (size) => tooLong(url, size) };
      // Compressed or not: what is longer on the way is longer here.
      const announced = Number(status === 200 ? headers.get("content-length") : 0);
      if (announced > most.bytes) throw most.exceeded(announced);
      return receive(url, it, range, most, access);
    });
    if (typeof answer !== "string") return new URLFile(url, answer.size, answer.bytes, access);
    this.#missing.set(path, this.#files ? `${answer}; ${NOT_COPIED}` : answer);
    return null;
  }

  whyMissing(path: string): string | undefined {
    return this.#missing.get(path);
  }
}

class URLFile implements RepositoryFile {
  constructor(
    readonly path: string,
    readonly size: number,
    private readonly first: Uint8Array<ArrayBuffer>,
    private readonly access: Access,
  ) {}

  async read(start = 0, end = this.size): Promise<Uint8Array<ArrayBuffer>> {
    checkRange(this.path, this.size, start, end);
    if (end <= this.first.length) return this.first.slice(start, end);
    const replaced = (now: number | "more"): Error =>
      new RepositoryError(`${this.path}: had ${this.size} bytes, now ${now}; was it replaced? Load again`);
    const most: Limit = { bytes: this.size, exceeded: () => replaced("more") };
    const answer = await request(this.path, [start, end], this.access, (it, range) =>
      receive(this.path, it, range, most, this.access),
    );
    if (answer.size !== this.size) throw replaced(answer.size);
    return answer.whole ? answer.bytes.slice(start, end) : answer.bytes;
  }
}

type Range = [start: number, end: number];

interface Received {
  bytes: Uint8Array<ArrayBuffer>;
  /** Of the file. */
  size: number;
  /** Whether the bytes are those of the whole file. */
  whole: boolean;
}

/** Reads the body of an answer to a range request and checks it against what was asked and what the headers say. */
async function receive(
  url: string,
  it: Exchange,
  [start, end]: Range,
  most: Limit,
  { clock }: Access,
): Promise<Received> {
  const { status, statusText, headers } = it.response;
  if (status !== 200 && status !== 206)
    throw new HubError(
      `${url}: the server answered ${status} ${statusText}`.trimEnd(),
      retryOf(it.response, clock.now()),
    );
  if (status === 200) {
    const bytes = await readSmall(it, most.bytes, url, most.exceeded);
    return { bytes, size: bytes.length, whole: true };
  }
  const range = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(headers.get("content-range") ?? "");
  const [first, last, size] = range ? range.slice(1).map(Number) : [NaN, NaN, NaN];
  if (first !== start || last !== Math.min(end, size) - 1) {
    throw new RepositoryError(
      `${url}: asked for bytes ${start}-${end - 1}, the server answered with Content-Range ` +
        `${quote(headers.get("content-range") ?? "(none; does the server expose it to CORS?)")}`,
    );
  }
  const length = last - first + 1;
  const bytes = await readSmall(it, length, url);
  if (bytes.length < length)
    throw new HubError(`${url}: got ${bytes.length} bytes instead of ${length}; the answer was cut`, { passing: true });
  return { bytes, size, whole: length === size };
}

/**
 * One GET for the bytes [start, end), which `use` reads. Both are tried again after a fault of the network, silence, or a
 * passing fault of the server.
 *
 * @throws RepositoryError naming the address and the fault; the signal's reason
 */
async function request<T>(
  url: string,
  range: Range,
  { fetch: fetcher = fetch, signal, clock }: Access,
  use: (it: Exchange, range: Range) => Promise<T>,
): Promise<T> {
  const transport = {
    endpoint: url,
    token: undefined,
    signal,
    clock,
    // Addresses may lead elsewhere, and browsers do not show where; what is fetched may stay in their own cache.
    fetch: ((input, init) => fetcher(input, { ...init, redirect: "follow", cache: "default" })) as typeof fetch,
  };
  const asked = { repository: url, where: url, hasToken: false, endpoint: url };
  const headers = { Range: `bytes=${range[0]}-${range[1] - 1}` };
  let answered = false;
  const attempt = async (): Promise<T> => {
    answered = false;
    return exchange(transport, { method: "GET", url, headers, asked }, (it) => {
      answered = true;
      return use(it, range);
    });
  };
  try {
    return await withRetries(attempt, { clock, signal, tries: TRIES });
  } catch (error) {
    if (answered || !(error instanceof HubError)) throw error;
    throw new RepositoryError(
      `${url}: no answer after ${TRIES} tries (${reasonOf(innermost(error)).replace(`${url}: `, "")}); is the address ` +
        "right, the network there, and does the server allow this page (CORS, Access-Control-Allow-Origin)?",
      { cause: error },
    );
  }
}

/** What the network or the clock said, behind what was made of it here. */
function innermost(error: unknown): unknown {
  return error instanceof HubError && error.cause !== undefined ? innermost(error.cause) : error;
}
