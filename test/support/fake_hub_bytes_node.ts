// How the fake hub sends a file's bytes, and what can go wrong while it does.

import type { IncomingMessage, ServerResponse } from "node:http";
import { gzipSync } from "node:zlib";
import type { Seen } from "./fake_hub_node.js";

/** What goes wrong with one answer. */
export interface Fault {
  /** Answers with this status instead. */
  status?: number;
  headers?: Record<string, string>;
  body?: string;
  /** Breaks the connection: at once, or after so many bytes of the body. */
  reset?: "before" | number;
  /** Never answers, or stops after so many bytes of the body. */
  stall?: "before" | number;
  /** Ends the body properly after so many bytes, without having said how many there would be. */
  endAt?: number;
  /** Sends so many bytes more than there are. */
  extra?: number;
  /** Flips the byte at this place of the file. */
  flip?: number;
  ignoreRange?: boolean;
  contentRange?: string;
  /** Pauses so many milliseconds after each byte. */
  slow?: number;
  /** Pauses so many milliseconds after each 64 KiB. */
  pause?: number;
  gzip?: boolean;
  /** Headers of the hub's answer. `commit`: "" leaves it out. */
  etag?: string;
  commit?: string;
  linkedSize?: number;
  /** Cuts the API's answer. */
  cutJSON?: number;
}

const wait = (milliseconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, milliseconds));

/**
 * Serves `bytes`, or a range of them, and what is wrong about it.
 * @param onlyFault serves nothing unless the fault says what
 * @returns whether the request is answered
 */
export function serveBytes(
  response: ServerResponse,
  request: IncomingMessage,
  bytes: Uint8Array,
  fault: Fault,
  { onlyFault = false, seen, headers = {} }: { onlyFault?: boolean; seen: Seen; headers?: Record<string, string> },
): boolean {
  if (fault.status !== undefined) response.writeHead(fault.status, fault.headers).end(fault.body);
  else if (fault.reset === "before") request.socket.destroy();
  else if (fault.stall !== "before" && onlyFault) return false;
  else if (fault.stall !== "before") void send(response, request, bytes, fault, seen, { ...headers, ...fault.headers });
  return true;
}

async function send(
  response: ServerResponse,
  request: IncomingMessage,
  bytes: Uint8Array,
  fault: Fault,
  seen: Seen,
  headers: Record<string, string>,
): Promise<void> {
  if (fault.flip !== undefined) {
    bytes = Uint8Array.from(bytes);
    bytes[fault.flip] ^= 1;
  }
  if (fault.extra !== undefined) bytes = Buffer.concat([bytes, new Uint8Array(fault.extra)]);
  const range = fault.ignoreRange ? null : /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "");
  const start = range ? Number(range[1]) : 0;
  const last = Math.min(range?.[2] ? Number(range[2]) : Infinity, bytes.length - 1);
  if (range && start >= bytes.length) {
    response.writeHead(416, { "content-range": `bytes */${bytes.length}` }).end();
    return;
  }
  let body = bytes.subarray(start, last + 1);
  const said: Record<string, string> = { "accept-ranges": "bytes", ...headers };
  if (range) said["content-range"] = fault.contentRange ?? `bytes ${start}-${last}/${bytes.length}`;
  if (fault.gzip) {
    body = gzipSync(body);
    said["content-encoding"] = "gzip";
  }
  if (fault.endAt === undefined) said["content-length"] = String(body.length);
  response.writeHead(range ? 206 : 200, said);
  if (request.method === "HEAD") return void response.end();

  const end = Math.min(body.length, fault.endAt ?? numberOr(fault.reset, numberOr(fault.stall, body.length)));
  const step = fault.slow ? 1 : 65_536;
  response.flushHeaders();
  for (let at = 0; at < end && !response.destroyed; at += step) {
    const piece = body.subarray(at, Math.min(at + step, end));
    await new Promise<void>((resolve) => response.write(piece, () => resolve()));
    seen.sent += piece.length;
    if (fault.slow || fault.pause) await wait((fault.slow ?? fault.pause) as number);
  }
  if (typeof fault.reset === "number") return void setTimeout(() => request.socket.destroy(), 10);
  if (typeof fault.stall === "number") return;
  response.end();
}

const numberOr = (value: unknown, otherwise: number): number => (typeof value === "number" ? value : otherwise);
