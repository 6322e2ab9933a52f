// The only way in which tests read files, so that the same tests run in Node and in Chrome.

import { gunzipSync } from "fflate";
import type { Repository } from "../../src/loader/repository.js";

const isNode = typeof process !== "undefined" && Boolean(process.versions?.node);

/** A folder or file below test/fixtures: a path in Node, an http address in Chrome. */
export function fixturePath(path: string): string {
  if (!isNode) return new URL(`/test/fixtures/${path}`, location.href).href;
  // Without node:url, which Chrome could not load; the replace is for Windows drives.
  const { pathname } = new URL(`../fixtures/${path}`, import.meta.url);
  return decodeURIComponent(pathname).replace(/^\/([A-Za-z]:)/, "$1");
}

/** Kept as .gz, so that the fixtures stay below 24 MB; only models and what folders are opened on lie there plain. */
const COMPRESSED =
  /^(schedulers\/trajectories\/|models\/gold\/|models\/zoo\/zoo\.safetensors|clip-vocab\/(vocab|merges)\.)/;

/** The bytes of a file below test/fixtures. */
export async function readFixture(path: string): Promise<Uint8Array<ArrayBuffer>> {
  if (!COMPRESSED.test(path)) return readBytes(path);
  return new Uint8Array(gunzipSync(await readBytes(`${path}.gz`)));
}

/** A folder below test/fixtures whose files may be compressed. */
export function fixtureRepository(folder: string): Repository {
  return {
    name: `fixtures/${folder}`,
    async open(path) {
      const bytes = await readFixture(`${folder}/${path}`).catch(() => null);
      return (
        bytes && { path, size: bytes.length, read: async (start = 0, end = bytes.length) => bytes.slice(start, end) }
      );
    },
  };
}

async function readBytes(path: string): Promise<Uint8Array<ArrayBuffer>> {
  if (isNode) return (await import("./files_node.js")).readBytes(fixturePath(path));
  const response = await fetch(fixturePath(path));
  if (!response.ok) throw new Error(`fixture ${path}: the test server answered ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
}

/** A JSON file below test/fixtures; the caller knows its type. */
export async function readFixtureJSON<T>(path: string): Promise<T> {
  return JSON.parse(new TextDecoder().decode(await readFixture(path))) as T;
}
