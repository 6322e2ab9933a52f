// A small Hugging Face hub for tests: the endpoints that huggingface_hub and @huggingface/hub use to load models, with
// redirects of large files to a "CDN" on another origin, and faults on demand.

import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import path from "node:path";
import { serveBytes, type Fault } from "./fake_hub_bytes_node.js";

export type { Fault } from "./fake_hub_bytes_node.js";

/** A request as the hub has seen it. */
export interface Seen {
  /** "api": JSON; "hub": a file's address on the hub; "cdn": a large file's bytes. */
  at: "api" | "hub" | "cdn";
  method: string;
  /** The file's path in the repository; "" for the API. */
  path: string;
  range: string | undefined;
  authorization: string | undefined;
  /** How many requests of the same kind for the same file came before. */
  before: number;
  /** Bytes of the body that were sent. */
  sent: number;
}

export type Files = ReadonlyMap<string, Uint8Array>;

export interface FakeRepository {
  /** Revision -> commit. */
  refs: Map<string, string>;
  /** Commit -> files. */
  commits: Map<string, Files>;
  /** Token that alone may read it. */
  token?: string;
}

export interface FakeHub {
  /** Give it as `endpoint`. */
  url: string;
  cdn: string;
  repositories: Map<string, FakeRepository>;
  /** All requests. */
  seen: Seen[];
  /** What goes wrong; by default nothing. */
  fault: (seen: Seen) => Fault | undefined;
  /** Bytes of files sent. */
  bytes(): number;
  close(): Promise<void>;
}

/** From this size on, files are "LFS": named by SHA-256 and served by the CDN. */
const LARGE = 4096;

export const gitHash = (bytes: Uint8Array): string =>
  createHash("sha1").update(`blob ${bytes.length}\0`).update(bytes).digest("hex");
const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
const isLarge = (file: string, bytes: Uint8Array): boolean => file.endsWith(".safetensors") || bytes.length >= LARGE;
export const hubHash = (file: string, bytes: Uint8Array): string =>
  isLarge(file, bytes) ? sha256(bytes) : gitHash(bytes);

/** A repository with one commit, on the branch main. */
export function oneCommit(files: Files, commit = "a".repeat(40)): FakeRepository {
  return { refs: new Map([["main", commit]]), commits: new Map([[commit, files]]) };
}

/** The files of a local folder. */
export function folderFiles(folder: string): Files {
  return new Map(
    readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => path.join(entry.parentPath, entry.name))
      .map((file) => [path.relative(folder, file).split(path.sep).join("/"), readFileSync(file)]),
  );
}

export async function startFakeHub(repositories: Iterable<[string, FakeRepository]>): Promise<FakeHub> {
  const servers = [createServer(), createServer()];
  const [url, cdn] = await Promise.all(servers.map(listen));
  const hub: FakeHub = {
    url,
    cdn,
    repositories: new Map(repositories),
    seen: [],
    fault: () => undefined,
    bytes: () => hub.seen.reduce((sum, { sent }) => sum + sent, 0),
    close: async () => void (await Promise.all(servers.map(close))),
  };
  servers[0].on("request", (request, response) => void answer(hub, request, response));
  servers[1].on("request", (request, response) => void answerCDN(hub, request, response));
  return hub;
}

function listen(server: Server): Promise<string> {
  return new Promise((resolve) =>
    server.listen(0, "127.0.0.1", () => resolve(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)),
  );
}

function close(server: Server): Promise<void> {
  server.closeAllConnections();
  return new Promise((resolve) => server.close(() => resolve()));
}

function note(hub: FakeHub, request: IncomingMessage, at: Seen["at"], file: string): Seen {
  const method = request.method ?? "";
  const before = hub.seen.filter((seen) => seen.at === at && seen.path === file && seen.method === method).length;
  const { range, authorization } = request.headers;
  const seen: Seen = { at, method, path: file, range, authorization, before, sent: 0 };
  hub.seen.push(seen);
  return seen;
}

const ROUTE = /^\/(?:api\/models\/)?([\w.-]+\/[\w.-]+)(?:\/(revision|tree|paths-info|resolve)\/([^/]+)(?:\/(.*))?)?$/;

/** As the real hub and its CDN allow pages of all origins. */
function allowPages(request: IncomingMessage, response: ServerResponse): boolean {
  response.setHeader("access-control-allow-origin", "*");
  response.setHeader("access-control-expose-headers", "*");
  if (request.method !== "OPTIONS") return false;
  response.setHeader("access-control-allow-headers", "authorization, content-type, range, accept-encoding");
  response.writeHead(204).end();
  return true;
}

function answer(hub: FakeHub, request: IncomingMessage, response: ServerResponse): void {
  if (allowPages(request, response)) return;
  const [, id = "", kind = "revision", revision = "main", file = ""] = (
    ROUTE.exec(new URL(request.url ?? "/", hub.url).pathname) ?? []
  ).map((part?: string) => part && decodeURIComponent(part));
  const seen = note(hub, request, kind === "resolve" ? "hub" : "api", file);
  const fault = hub.fault(seen) ?? {};
  if (serveBytes(response, request, new Uint8Array(), fault, { onlyFault: true, seen })) return;
  const refuse = (status: number, code: string, headers: Record<string, string> = {}): void =>
    void response.writeHead(status, { "x-error-code": code, "x-error-message": code, ...headers }).end();

  const repository = hub.repositories.get(id);
  if (!repository) return refuse(401, "RepoNotFound");
  if (repository.token && request.headers.authorization !== `Bearer ${repository.token}`)
    return refuse(401, "GatedRepo");
  const commit = repository.refs.get(revision) ?? revision;
  const files = repository.commits.get(commit);
  if (!files) return refuse(404, "RevisionNotFound");
  if (kind === "paths-info") {
    request.setEncoding("utf8").on("data", (text: string) => {
      const { paths } = JSON.parse(text) as { paths: string[] };
      response.writeHead(200, { "content-type": "application/json" });
      response.end(JSON.stringify(tree(new Map([...files].filter(([name]) => paths.includes(name))))));
    });
    return;
  }
  if (kind !== "resolve") {
    const described = kind === "tree" ? tree(files) : description(id, fault.commit ?? commit, files);
    const text = JSON.stringify(described);
    response.writeHead(200, { "content-type": "application/json" });
    return void response.end(text.slice(0, fault.cutJSON ?? text.length));
  }
  const bytes = files.get(file);
  const named: Record<string, string> = fault.commit === "" ? {} : { "x-repo-commit": fault.commit ?? commit };
  if (!bytes) return refuse(404, "EntryNotFound", named);
  const etag = `"${fault.etag ?? hubHash(file, bytes)}"`;
  const linked = { "x-linked-etag": etag, "x-linked-size": String(fault.linkedSize ?? bytes.length) };
  if (fault.linkedSize !== undefined) Object.assign(named, linked);
  if (!isLarge(file, bytes))
    return void serveBytes(response, request, bytes, fault, { seen, headers: { ...named, etag } });
  const location = `${hub.cdn}/${id}/resolve/${commit}/${file}`;
  response.writeHead(302, { ...named, ...linked, location }).end();
}

function answerCDN(hub: FakeHub, request: IncomingMessage, response: ServerResponse): void {
  if (allowPages(request, response)) return;
  const [, id, , commit, file] = (ROUTE.exec(decodeURIComponent(request.url ?? "")) ?? []) as string[];
  const seen = note(hub, request, "cdn", file);
  const bytes = hub.repositories.get(id)?.commits.get(commit)?.get(file);
  if (!bytes) return void response.writeHead(404).end();
  serveBytes(response, request, bytes, hub.fault(seen) ?? {}, { seen, headers: { etag: '"of-the-cdn"' } });
}

function description(id: string, sha: string, files: Files): object {
  const siblings = [...files.keys()].map((rfilename) => ({ rfilename }));
  const lastModified = "2026-01-02T03:04:05.000Z";
  return { _id: "1", id, modelId: id, sha, siblings, lastModified, ...COUNTS };
}
const COUNTS = { tags: [], downloads: 0, likes: 0, private: false, gated: false };

function tree(files: Files): object[] {
  return [...files].map(([file, bytes]) => ({
    type: "file",
    path: file,
    size: bytes.length,
    oid: gitHash(bytes),
    ...(isLarge(file, bytes) && { lfs: { oid: sha256(bytes), size: bytes.length, pointerSize: 130 } }),
  }));
}
