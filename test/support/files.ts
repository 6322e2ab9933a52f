// The only way in which tests read files, so that the same tests run in Node and in Chrome.

const isNode = typeof process !== "undefined" && Boolean(process.versions?.node);

/** A folder or file below test/fixtures: a path in Node, an http address in Chrome. */
export function fixturePath(path: string): string {
  if (!isNode) return new URL(`/test/fixtures/${path}`, location.href).href;
  // Without node:url, which Chrome could not load; the replace is for Windows drives.
  const { pathname } = new URL(`../fixtures/${path}`, import.meta.url);
  return decodeURIComponent(pathname).replace(/^\/([A-Za-z]:)/, "$1");
}

/** The bytes of a file below test/fixtures. */
export async function readFixture(path: string): Promise<Uint8Array<ArrayBuffer>> {
  if (isNode) return (await import("./files_node.js")).readBytes(fixturePath(path));
  const response = await fetch(fixturePath(path));
  if (!response.ok) throw new Error(`fixture ${path}: the test server answered ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
}

/** A JSON file below test/fixtures; the caller knows its type. */
export async function readFixtureJSON<T>(path: string): Promise<T> {
  return JSON.parse(new TextDecoder().decode(await readFixture(path))) as T;
}
