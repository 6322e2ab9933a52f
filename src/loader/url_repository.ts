import { quote, RepositoryError } from "./errors.js";
import { checkPath, checkRange } from "./paths.js";
import type { OpenOptions, Repository, RepositoryFile } from "./repository.js";
import { eitherSignal } from "./signals.js";

/** `fetch` replaces the global one (tests, proxies); `signal` aborts every request of the repository. */
export interface URLRepositoryOptions {
  fetch?: typeof fetch;
  signal?: AbortSignal;
}

/** The first request takes this much, so that a config, or the header of most weight files, needs no second one. */
const FIRST_BYTES = 64 * 1024;
const TRIES = 3;
const RETRIED = new Set([408, 429, 500, 502, 503, 504]);

/** A folder behind an http(s) address, read with range requests; servers that ignore ranges cost a whole download. */
export class URLRepository implements Repository {
  readonly name: string;
  readonly #base: URL;
  readonly #options: URLRepositoryOptions;
  readonly #missing = new Map<string, string>();

  constructor(base: URL, options: URLRepositoryOptions = {}) {
    if (base.search !== "" || base.hash !== "") {
      throw new RepositoryError(`repository ${quote(base.href, 200)}: the address of a folder has no "?" and no "#"`);
    }
    this.#base = new URL(base);
    if (!this.#base.pathname.endsWith("/")) this.#base.pathname += "/";
    this.name = this.#base.href;
    this.#options = options;
  }

  async open(path: string, { signal }: OpenOptions = {}): Promise<RepositoryFile | null> {
    const options = { ...this.#options, signal: eitherSignal(this.#options.signal, signal) };
    const escaped = checkPath(path).split("/").map(encodeURIComponent).join("/");
    const url = new URL(this.#base.href + escaped).href;
    const response = await request(url, [0, FIRST_BYTES], options);
    if (response.status === 404 || response.status === 410) {
      await response.body?.cancel();
      this.#missing.set(path, `${url} answered ${response.status}`);
      return null;
    }
    // Development servers answer a missing file with their start page.
    if (response.status === 200 && response.headers.get("content-type")?.startsWith("text/html")) {
      await response.body?.cancel();
      this.#missing.set(path, `got an HTML page from ${url}`);
      return null;
    }
    if (response.status === 416 && response.headers.get("content-range") === "bytes */0") {
      await response.body?.cancel();
      return new URLFile(url, 0, new Uint8Array(0), options);
    }
    const { bytes, size } = await receive(url, response, [0, FIRST_BYTES]);
    return new URLFile(url, size, bytes, options);
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
    private readonly options: URLRepositoryOptions,
  ) {}

  async read(start = 0, end = this.size): Promise<Uint8Array<ArrayBuffer>> {
    checkRange(this.path, this.size, start, end);
    if (end <= this.first.length) return this.first.slice(start, end);
    const answer = await receive(this.path, await request(this.path, [start, end], this.options), [start, end]);
    if (answer.size !== this.size) {
      throw new RepositoryError(
        `${this.path}: had ${this.size} bytes, now ${answer.size}; was it replaced? Load again`,
      );
    }
    return answer.whole ? answer.bytes.slice(start, end) : answer.bytes;
  }
}

/** Reads the body of an answer to a range request and checks it against what was asked and what the headers say. */
async function receive(
  url: string,
  response: Response,
  [start, end]: [number, number],
): Promise<{ bytes: Uint8Array<ArrayBuffer>; size: number; whole: boolean }> {
  if (response.status !== 200 && response.status !== 206) {
    await response.body?.cancel();
    throw new RepositoryError(`${url}: the server answered ${response.status} ${response.statusText}`.trimEnd());
  }
  const range = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(response.headers.get("content-range") ?? "");
  const bytes = new Uint8Array(await response.arrayBuffer());
  if (response.status === 200) {
    return { bytes, size: bytes.length, whole: true };
  }
  const [first, last, size] = range ? range.slice(1).map(Number) : [NaN, NaN, NaN];
  if (first !== start || last !== Math.min(end, size) - 1) {
    throw new RepositoryError(
      `${url}: asked for bytes ${start}-${end - 1}, the server answered with Content-Range ` +
        `${quote(response.headers.get("content-range") ?? "(none; does the server expose it to CORS?)")}`,
    );
  }
  if (bytes.length !== last - first + 1) {
    throw new RepositoryError(`${url}: got ${bytes.length} bytes instead of ${last - first + 1}; the answer was cut`);
  }
  return { bytes, size, whole: first === 0 && bytes.length === size };
}

/** One GET for the bytes [start, end); tries again after a fault of the network or a passing one of the server. */
async function request(
  url: string,
  [start, end]: [number, number],
  { fetch: fetcher = fetch, signal }: URLRepositoryOptions,
): Promise<Response> {
  for (let attempt = 1; ; attempt++) {
    signal?.throwIfAborted();
    let fault: unknown;
    try {
      const response = await fetcher(url, {
        headers: { Range: `bytes=${start}-${end - 1}` },
        referrerPolicy: "no-referrer",
        signal: signal ?? null,
      });
      if (!RETRIED.has(response.status) || attempt === TRIES) return response;
      await response.body?.cancel();
    } catch (error) {
      signal?.throwIfAborted();
      fault = error;
    }
    if (attempt === TRIES) {
      const reason = fault instanceof Error ? fault.message : String(fault);
      throw new RepositoryError(
        `${url}: no answer after ${TRIES} tries (${reason}); is the address right, the network there, and does the ` +
          "server allow this page (CORS, Access-Control-Allow-Origin)?",
        { cause: fault },
      );
    }
    await new Promise((done) => setTimeout(done, 250 * attempt));
  }
}
