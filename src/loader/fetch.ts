/** Single exchanges with a hub, or another server of files: silence ends them, redirects are followed by hand, the token stays at home. */
import { onAbort } from "../arguments/signal.js";
import { quote } from "./errors.js";
import { HubError, type Asked } from "./hub/hub_errors.js";
import type { Clock } from "./hub/hub_retry.js";

/** How a hub is reached. */
export interface Transport {
  fetch: typeof fetch;
  /** Without "/" at its end. */
  endpoint: string;
  token: string | undefined;
  signal: AbortSignal | undefined;
  clock: Clock;
}

export interface Exchange {
  response: Response;
  /** A header of the last answer that came from the hub itself and has it; those of a CDN do not count. */
  fromHub(header: string): string | null;
  /** Reads on; undefined at the end. */
  read(): Promise<Uint8Array<ArrayBuffer> | undefined>;
}

export interface HubRequest {
  method: "GET" | "HEAD" | "POST";
  url: string;
  headers?: Record<string, string>;
  body?: string;
  asked: Asked;
  /** Ends the chain of redirects with this answer. */
  isFinal?: (response: Response) => boolean;
}

const MAX_REDIRECTS = 8;

/**
 * Sends one request and lets `use` read the answer, whatever its status. The exchange is over when `use` is: the body's
 * rest is dropped.
 * @throws HubError that may pass, for faults of the network and silence; the signal's reason
 */
export async function exchange<T>(
  transport: Transport,
  request: HubRequest,
  use: (exchange: Exchange) => Promise<T>,
): Promise<T> {
  const { signal, clock, fetch } = transport; // a browser's fetch must not be called as a method
  signal?.throwIfAborted();
  const controller = new AbortController();
  let interrupt: (reason: unknown) => void = () => undefined;
  const stop = (reason: unknown): void => {
    controller.abort(reason);
    interrupt(reason);
  };
  const forget = onAbort(signal, () => stop(signal?.reason));
  let timer: ReturnType<typeof setTimeout> | undefined;
  let reader: ReadableStreamDefaultReader<Uint8Array> | undefined;

  /** Waits for the network: not for longer than the timeout, and not when aborted, even if `fetch` knows no signals. */
  async function wait<R>(promise: Promise<R>): Promise<R> {
    timer = setTimeout(
      () => stop(new HubError(`${request.asked.where}: no answer for ${clock.timeout / 1000} s`, { passing: true })),
      clock.timeout,
    );
    try {
      // Not Promise.race() with one promise for the whole exchange: that would keep every chunk until the end.
      return await new Promise<R>((resolve, reject) => {
        interrupt = reject;
        if (controller.signal.aborted) reject(controller.signal.reason);
        promise.then(resolve, reject);
      });
    } catch (cause) {
      signal?.throwIfAborted();
      if (cause instanceof HubError) throw cause;
      throw new HubError(
        `${request.asked.where}: the connection to ${hostOf(request.url)} failed: ${reasonOf(cause)}`,
        {
          passing: true,
          cause,
        },
      );
    } finally {
      clearTimeout(timer);
    }
  }

  try {
    const { response, hubAnswers } = await follow(transport, request, (url, headers) =>
      wait(
        fetch(url, {
          method: request.method,
          headers,
          ...(request.body !== undefined && { body: request.body }),
          redirect: "manual",
          cache: "no-store",
          referrerPolicy: "no-referrer",
          signal: controller.signal,
        }),
      ),
    );
    reader = response.body?.getReader();
    return await use({
      response,
      fromHub: (header) => hubAnswers.findLast((answer) => answer.has(header))?.get(header) ?? null,
      read: async () => {
        const chunk = reader && (await wait(reader.read()));
        return chunk && !chunk.done ? (chunk.value as Uint8Array<ArrayBuffer>) : undefined;
      },
    });
  } finally {
    forget();
    controller.abort(new Error("the exchange is over"));
    void reader?.cancel().catch(() => undefined); // a `fetch` that knows no signals
  }
}

/** Follows redirects; the token goes to the hub's own origin only. */
async function follow(
  { endpoint, token }: Transport,
  { url: first, headers = {}, asked, isFinal }: HubRequest,
  send: (url: string, headers: Record<string, string>) => Promise<Response>,
): Promise<{ response: Response; hubAnswers: Headers[] }> {
  const home = new URL(endpoint);
  const hubAnswers: Headers[] = [];
  let url = new URL(first);
  for (let hops = 0; hops <= MAX_REDIRECTS; hops++) {
    const atHome = url.origin === home.origin;
    const response = await send(url.href, {
      "Accept-Encoding": "identity", // lengths and ranges are those of the file
      ...headers,
      ...(token !== undefined && atHome ? { Authorization: `Bearer ${token}` } : {}),
    });
    if (atHome) hubAnswers.push(response.headers);
    const location = response.headers.get("location");
    if (![301, 302, 303, 307, 308].includes(response.status) || location === null || isFinal?.(response))
      return { response, hubAnswers };
    await response.body?.cancel().catch(() => undefined);
    const next = URL.canParse(location, url) ? new URL(location, url) : null;
    if (!next || !/^https?:$/.test(next.protocol) || (url.protocol === "https:" && next.protocol === "http:"))
      throw new HubError(`${asked.where}: the server redirects to ${quote(location, 200)}, which is not followed`);
    url = next;
  }
  throw new HubError(
    `${asked.where}: more than ${MAX_REDIRECTS} redirects; is the endpoint right (${quote(endpoint, 200)})?`,
  );
}

/** Reads a body that must be small. Throws HubError, or what `tooMuch` makes, as soon as it has more than `limit` bytes. */
export async function readSmall(
  { read }: Exchange,
  limit: number,
  where: string,
  tooMuch = (): Error =>
    new HubError(`${where}: the server's answer has more than ${limit} bytes; is the address right?`),
): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  let size = 0;
  for (let chunk = await read(); chunk; chunk = await read()) {
    size += chunk.length;
    if (size > limit) throw tooMuch();
    chunks.push(chunk);
  }
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}

const hostOf = (url: string): string => new URL(url).host;

/** undici hides the reason ("ECONNREFUSED") behind "fetch failed". */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause as { code?: unknown; message?: unknown } | undefined;
  const detail = cause?.code ?? cause?.message;
  return detail ? `${error.message} (${String(detail)})` : error.message;
}
