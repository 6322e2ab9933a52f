// A small static file server on 127.0.0.1 for the demo page and the tests in Chrome: the right MIME types, Range
// requests (the weights are read in pieces), and no way out of the served folder.
import { createReadStream } from "node:fs";
import { realpath, stat } from "node:fs/promises";
import { createServer } from "node:http";
import path from "node:path";

const MIME_TYPES = {
  ".css": "text/css; charset=utf-8",
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".json": "application/json; charset=utf-8",
  ".map": "application/json; charset=utf-8",
  ".md": "text/plain; charset=utf-8",
  ".mjs": "text/javascript; charset=utf-8",
  ".png": "image/png",
  ".svg": "image/svg+xml",
  ".txt": "text/plain; charset=utf-8",
  ".wasm": "application/wasm",
};

/**
 * Serves the files below `root`, and `virtual` files (URL path -> contents) before them.
 * @returns {Promise<{ origin: string, close(): Promise<void> }>} origin is like "http://localhost:54321"
 */
export async function startStaticServer({ root, port = 0, virtual = new Map() }) {
  // Of an environment variable, perhaps; Node's own message is about its options.
  if (!/^\d+$/.test(port) || port > 65535) throw new RangeError("a port is a whole number from 0 to 65535");
  const folder = await realpath(root);
  const server = createServer((request, response) => {
    answer(folder, virtual, request, response).catch((error) => {
      if (!response.headersSent) response.writeHead(500);
      response.end(String(error));
    });
  });
  await new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(Number(port), "127.0.0.1", resolve);
  });
  const close = () =>
    new Promise((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  return { origin: `http://localhost:${server.address().port}`, close };
}

async function answer(folder, virtual, request, response) {
  if (request.method !== "GET" && request.method !== "HEAD") return refuse(response, 405);
  const name = requestedPath(request.url);
  if (name === null) return refuse(response, 400);
  const headers = { "Content-Type": MIME_TYPES[path.extname(name)] ?? "application/octet-stream" };
  headers["Cache-Control"] = "no-store";
  headers["Accept-Ranges"] = "bytes";
  const content = virtual.get(name);
  if (content !== undefined) {
    headers["Content-Length"] = Buffer.byteLength(content);
    response.writeHead(200, headers);
    return response.end(request.method === "HEAD" ? undefined : content);
  }

  const file = await realpath(path.join(folder, name)).catch(() => null);
  if (file === null || !file.startsWith(folder + path.sep)) return refuse(response, 404);
  const info = await stat(file);
  if (!info.isFile()) return refuse(response, 404);
  const range = parseRange(request.headers.range, info.size);
  if (range === null) return refuse(response, 416, { "Content-Range": `bytes */${info.size}` });
  headers["Content-Length"] = range.end - range.start;
  if (range.partial) headers["Content-Range"] = `bytes ${range.start}-${range.end - 1}/${info.size}`;
  response.writeHead(range.partial ? 206 : 200, headers);
  if (request.method === "HEAD" || range.end === range.start) return response.end();
  const stream = createReadStream(file, { start: range.start, end: range.end - 1 });
  stream.on("error", (error) => response.destroy(error));
  response.on("close", () => stream.destroy());
  stream.pipe(response);
}

function refuse(response, status, headers = {}) {
  response.writeHead(status, { "Content-Type": "text/plain", ...headers });
  response.end(`${status}\n`);
}

/** The decoded path, with `index.html` added to folders; null when it is malformed or names a hidden file. */
function requestedPath(url) {
  let name;
  try {
    name = decodeURIComponent(url.split(/[?#]/, 1)[0]);
  } catch {
    return null;
  }
  const hidden = name.split("/").some((part) => part.startsWith("."));
  if (!name.startsWith("/") || hidden || /[\\\0]/.test(name)) return null;
  return name.endsWith("/") ? `${name}index.html` : name;
}

/** `bytes=a-b`, `bytes=a-` and `bytes=-n` as [start, end); other units and several ranges get the whole file. */
function parseRange(header, size) {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header ?? "");
  if (!match || (match[1] === "" && match[2] === "")) return { start: 0, end: size, partial: false };
  const suffix = match[1] === "";
  const start = suffix ? Math.max(0, size - Number(match[2])) : Number(match[1]);
  const end = suffix || match[2] === "" ? size : Math.min(size, Number(match[2]) + 1);
  return start < end ? { start, end, partial: true } : null;
}
