// The hub as browsers read it: pieces in the Cache API, verified, resumed and reused. Runs in Node with a stand-in for it.
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { PIECE_BYTES } from "../../src/loader/hub/cache_pieces.js";
import { deleteFrom, deleteFromCache } from "../../src/loader/hub/delete_from_cache.js";
import { openHubInBrowser } from "../../src/loader/hub/hub_browser.js";
import { HUB_OPTION_NAMES, hubOptions, type GivenHubOptions } from "../../src/loader/hub/hub_options.js";
import { readJSON, type LoadProgress, type Repository } from "../../src/loader/repository.js";
import { SHA256 } from "../../src/loader/hub/sha256.js";

const ID = "org/tiny";
const COMMIT = "a".repeat(40);
const WEIGHT = "unet/model.safetensors";
const SIZE = PIECE_BYTES + 1000;
const weight = Uint8Array.from({ length: SIZE }, (_, i) => (i * 31 + (i >> 8)) % 251);
const config = new TextEncoder().encode('{"a": 1}');
const CONFIG_HASH = "4a036f56bb619924ec4189bd84ed716c766971ae";

/** A stand-in for the Cache API, where there is none (Node). */
class MemoryCaches {
  readonly entries = new Map<string, Response>();
  open = async (): Promise<Cache> =>
    ({
      match: async (key: string) => this.entries.get(key)?.clone(),
      put: async (key: string, value: Response) => {
        this.entries.set(key, new Response(await value.arrayBuffer()));
      },
      delete: async (key: string) => this.entries.delete(key),
      keys: async () => [...this.entries.keys()].map((url) => ({ url })),
    }) as unknown as Cache;
}

interface Asked {
  url: string;
  method: string;
  range: string | null;
  token: string | null;
}

const HUB = "https://hub.test";
let storage: CacheStorage;
let asked: Asked[];
/** What the hub answers instead. */
let fault: (request: Asked, before: number) => Response | Error | undefined;

async function answer(url: string | URL | Request, init: RequestInit = {}): Promise<Response> {
  const headers = new Headers(init.headers);
  const request = {
    url: String(url).slice(HUB.length),
    method: init.method ?? "GET",
    range: headers.get("range"),
    token: headers.get("authorization"),
  };
  asked.push(request);
  const wrong = fault(request, asked.filter((one) => one.url === request.url).length - 1);
  if (wrong instanceof Error) throw wrong;
  if (wrong) return wrong;
  if (request.url.startsWith(`/api/models/${ID}/revision/`)) return Response.json({ sha: COMMIT });
  if (request.url === `/api/models/${ID}/paths-info/${COMMIT}`) {
    const [path] = (JSON.parse(init.body as string) as { paths: string[] }).paths;
    const oid = new SHA256().update(weight).digest();
    if (path === WEIGHT) return Response.json([{ type: "file", path, size: 130, oid: "0", lfs: { oid, size: SIZE } }]);
    return Response.json(path === "config.json" ? [{ type: "file", path, size: config.length, oid: CONFIG_HASH }] : []);
  }
  const bytes = request.url.endsWith(WEIGHT) ? weight : config;
  const [, start, last] = (/^bytes=(\d+)-(\d+)$/.exec(request.range ?? "") ?? []).map(Number);
  const end = Math.min(last + 1, bytes.length);
  const said = { "content-range": `bytes ${start}-${end - 1}/${bytes.length}` };
  return new Response(bytes.slice(start, end), { status: 206, headers: said });
}

const pauses: number[] = [];
const open = (options: GivenHubOptions = {}, caches: CacheStorage | undefined = storage): Promise<Repository> =>
  openHubInBrowser(
    ID,
    { endpoint: HUB, fetch: answer as typeof fetch, ...options },
    { caches, sleep: async (pause) => void pauses.push(pause) },
  );
const bytesAsked = (): string[] => asked.flatMap(({ url, range }) => (url.endsWith(WEIGHT) && range ? [range] : []));

beforeEach(async () => {
  const real = typeof window === "undefined" ? undefined : globalThis.caches;
  await real?.delete("webgpu-diffusers");
  storage = real ?? (new MemoryCaches() as unknown as CacheStorage);
  asked = [];
  pauses.length = 0;
  fault = () => undefined;
});
afterEach(async () => void (await storage.delete?.("webgpu-diffusers")));

test("SHA-256 of pieces", () => {
  const hash = (text: string, ...cuts: number[]): string => {
    const bytes = new TextEncoder().encode(text);
    const sha = new SHA256();
    [0, ...cuts].forEach((start, i) => sha.update(bytes.subarray(start, cuts[i])));
    return sha.digest();
  };
  const abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
  expect(hash("abc")).toBe(abc);
  expect(hash("abc", 1, 2)).toBe(abc);
  expect(hash("")).toBe("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  const two = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"; // FIPS 180-2, B.2
  for (const cut of [0, 1, 55, 56])
    expect(hash(two, cut)).toBe("248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  for (const length of [63, 64, 65, 119, 120, 128])
    expect(hash("x".repeat(length), 17, 60)).toBe(hash("x".repeat(length)));
});

describe("a repository on the hub in a browser", () => {
  test("comes in pieces, once", async () => {
    const events: LoadProgress[] = [];
    const first = await open({ progressCallback: (event) => events.push(event) });
    expect(await readJSON(first, "config.json")).toEqual({ a: 1 });
    const file = await first.open(WEIGHT);
    expect(file?.size).toBe(SIZE);
    expect(await file?.read(PIECE_BYTES - 5, PIECE_BYTES + 5)).toEqual(weight.slice(PIECE_BYTES - 5, PIECE_BYTES + 5));
    expect(await file?.read(7, 7)).toEqual(new Uint8Array(0));
    expect(bytesAsked()).toEqual([`bytes=0-${PIECE_BYTES - 1}`, `bytes=${PIECE_BYTES}-${SIZE - 1}`]);
    expect(events.filter((event) => event.file === WEIGHT).map(({ status }) => status)).toEqual([
      "initiate",
      "download",
      "progress",
      "progress",
      "done",
    ]);
    expect(await first.open("absent.json")).toBeNull();
    asked = [];
    const second = await open();
    expect((await second.open(WEIGHT))?.size).toBe(SIZE);
    expect(await second.open("absent.json")).toBeNull();
    expect(second.whyMissing?.("absent.json")).toBe(`commit ${COMMIT} has no such file`);
    expect(asked.map(({ url }) => url)).toEqual([`/api/models/${ID}/revision/main?expand=sha`]);
  });

  test("goes on from the last whole piece", async () => {
    fault = ({ range }) => (range?.startsWith("bytes=8") ? new Response(null, { status: 503 }) : undefined);
    await expect((await open()).open(WEIGHT)).rejects.toThrow(`${WEIGHT} of ${ID}: the server answered 503`);
    expect(pauses).toEqual([1000, 2000, 4000, 8000]);
    fault = () => undefined;
    asked = [];
    const file = await (await open()).open(WEIGHT);
    expect(await file?.read(SIZE - 9)).toEqual(weight.slice(-9));
    expect(bytesAsked()).toEqual([`bytes=${PIECE_BYTES}-${SIZE - 1}`]);
  });

  test("refuses what is not what the hub names", async () => {
    const wrong = (bytes: number, range: string, status = 206): Response =>
      new Response(new Uint8Array(bytes), { status, headers: { "content-range": range } });
    const isPiece = ({ url }: Asked): boolean => url.endsWith("config.json");
    const rows: [Response | Error, RegExp][] = [
      [wrong(8, "bytes 0-7/8"), /their hash is [0-9a-f]{40}, expected 4a036f.*fetched twice/],
      [wrong(8, "bytes 1-8/9"), /asked for bytes 0-7 of 8, the server answered 206 with Content-Range "bytes 1-8/],
      [wrong(7, "bytes 0-7/8"), /was cut at 7 of 8 bytes \(5 tries\)/],
      [wrong(9, "bytes 0-7/8"), /more than 8 bytes/],
      [wrong(0, "", 403), /answered 403: access is denied/],
      [new TypeError("offline"), /the connection to hub.test failed: offline \(5 tries\)/],
    ];
    for (const [answered, message] of rows) {
      fault = (request) => (!isPiece(request) ? undefined : answered instanceof Error ? answered : answered.clone());
      await expect((await open()).open("config.json")).rejects.toThrow(message);
      await expect((await open()).open("config.json")).rejects.toThrow(/^config.json of org\/tiny: /);
    }
    fault = () => undefined;
    expect(await readJSON(await open(), "config.json")).toEqual({ a: 1 });
  });

  test("refuses a text file that is too long before its bytes come", async () => {
    const named = [{ type: "file", path: "config.json", size: 9e9, oid: CONFIG_HASH }];
    fault = ({ url }) => (url.includes("/paths-info/") ? Response.json(named) : undefined);
    await expect((await open()).open("config.json")).rejects.toThrow(
      /^config.json of org\/tiny: has 9000000000 bytes, more than the 8388608 allowed for a text file/,
    );
    expect(asked.filter(({ range }) => range)).toEqual([]);
  });

  test("a signal given later than the repository ends its download, and no other", async () => {
    const repository = await open();
    const controller = new AbortController();
    const reason = new Error("enough");
    fault = ({ url }) => {
      if (url.endsWith(WEIGHT)) controller.abort(reason);
      return undefined;
    };
    await expect(repository.open(WEIGHT, { signal: controller.signal })).rejects.toBe(reason);
    await expect(repository.open("config.json", { signal: controller.signal })).rejects.toBe(reason);
    expect(await readJSON(repository, "config.json")).toEqual({ a: 1 });
  });

  test("a token that is true asks for one that nothing stores, and null and false for none", async () => {
    // As openRepository() hands them on.
    const nothing = Object.fromEntries(HUB_OPTION_NAMES.map((name) => [name, null]));
    await open({ ...hubOptions(nothing), endpoint: HUB, fetch: answer as typeof fetch });
    await open({ token: false });
    await open({ token: "hf_x" });
    expect(asked.map(({ token }) => token)).toEqual([null, null, "Bearer hf_x"]);
    await expect(open({ token: true })).rejects.toThrow(
      /^token: true asks for the stored token, and a browser has none/,
    );
    await expect(open({ token: 7 as never })).rejects.toThrow(
      /^token: must be a string, true, false or null, got number/,
    );
  });

  test("without a network, and without a cache", async () => {
    await expect(open({ localFilesOnly: true })).rejects.toThrow(/is not in the browser's cache, and localFilesOnly/);
    await (await open()).open("config.json");
    asked = [];
    const local = await open({ localFilesOnly: true });
    expect(await readJSON(local, "config.json")).toEqual({ a: 1 });
    expect(await local.open(WEIGHT)).toBeNull();
    expect(asked).toEqual([]);
    fault = () => new TypeError("offline");
    const { warn } = console;
    const warnings: string[] = [];
    console.warn = (text: string) => void warnings.push(text);
    try {
      expect(await readJSON(await open(), "config.json")).toEqual({ a: 1 });
      expect(warnings[0]).toContain("cached files of commit");
      fault = () => undefined;
      const full = {
        open: async () => ({ match: async () => undefined, put: () => Promise.reject(new Error("full")) }),
      };
      const file = await (await open({}, full as unknown as CacheStorage)).open(WEIGHT);
      expect(await file?.read(SIZE - 9)).toEqual(weight.slice(-9));
      expect(warnings[1]).toMatch(/the browser does not keep it .*full/);
    } finally {
      console.warn = warn;
    }
    const none = { open: () => Promise.reject(new Error("SecurityError")) } as unknown as CacheStorage;
    const file = await (await open({ token: "hf_x" }, none)).open(WEIGHT);
    expect(await file?.read(0, 9)).toEqual(weight.slice(0, 9));
    expect(asked.at(-1)?.token).toBe("Bearer hf_x");
  });
});

test("a frame without an origin may not even ask for a cache: files are read from the hub each time", async () => {
  const own = Object.getOwnPropertyDescriptor(globalThis, "caches");
  const get = (): never => {
    throw new DOMException("Cache storage is disabled because the context is sandboxed", "SecurityError");
  };
  Object.defineProperty(globalThis, "caches", { configurable: true, get });
  try {
    for (let turn = 0; turn < 2; turn++) {
      const repository = await openHubInBrowser(ID, { endpoint: HUB, fetch: answer as typeof fetch });
      expect(await readJSON(repository, "config.json")).toEqual({ a: 1 });
    }
    if (typeof window !== "undefined") expect(await deleteFromCache(ID)).toBe(false);
  } finally {
    if (own) Object.defineProperty(globalThis, "caches", own);
    else delete (globalThis as { caches?: CacheStorage }).caches;
  }
  expect(asked.filter(({ url }) => url.endsWith("config.json"))).toHaveLength(2);
});

test("a browser that has become full keeps the files that another load has noted", async () => {
  const MIRROR = "https://cdn.test";
  await (await open({ endpoint: MIRROR })).open(WEIGHT);
  const cache = await storage.open("webgpu-diffusers");
  const methods = ["match", "delete", "keys"] as const;
  const full = Object.fromEntries(methods.map((name) => [name, (cache[name] as () => unknown).bind(cache)]));
  const put = (): Promise<void> => Promise.reject(new Error("full"));
  const { warn } = console;
  console.warn = () => undefined;
  try {
    const caches = { open: async () => ({ ...full, put }) } as unknown as CacheStorage;
    const file = await (await open({}, caches)).open(WEIGHT);
    expect(await file?.read(SIZE - 9)).toEqual(weight.slice(-9));
  } finally {
    console.warn = warn;
  }
  const kept = await (await open({ endpoint: MIRROR, localFilesOnly: true })).open(WEIGHT);
  expect(await kept?.read(SIZE - 9)).toEqual(weight.slice(-9));
});

describe("deleteFromCache", () => {
  const MIRROR = "https://cdn.test";
  const remove = (id = ID, endpoint = HUB): Promise<boolean> => deleteFrom(storage, id, { endpoint });
  const kept = async (): Promise<number> => (await (await storage.open("webgpu-diffusers")).keys()).length;

  test("frees all commits of a repository, and interrupted downloads", async () => {
    const newer = "b".repeat(40);
    await (await open()).open(WEIGHT);
    // The branch moves on: what the old commit has besides would stay for ever.
    fault = ({ url }) =>
      url.includes("/revision/")
        ? Response.json({ sha: newer })
        : url.includes(`/paths-info/${newer}`)
          ? Response.json([{ type: "file", path: "config.json", size: config.length, oid: CONFIG_HASH }])
          : undefined;
    expect(await readJSON(await open(), "config.json")).toEqual({ a: 1 });
    expect(await (await open()).open("absent.json")).toBeNull();
    expect(await remove()).toBe(true);
    expect(await kept()).toBe(0);
    expect(await remove()).toBe(false);
    await expect(open({ localFilesOnly: true })).rejects.toThrow(/is not in the browser's cache/);

    fault = ({ range }) => (range?.startsWith("bytes=8") ? new Response(null, { status: 403 }) : undefined);
    await expect((await open()).open(WEIGHT)).rejects.toThrow("403");
    expect(await kept()).toBe(3); // the branch, a note of the file, a piece
    expect(await (await open({ localFilesOnly: true })).open(WEIGHT)).toBeNull();
    expect(await remove()).toBe(true);
    expect(await kept()).toBe(0);
    fault = () => undefined;
    expect((await (await open()).open(WEIGHT))?.size).toBe(SIZE);
  });

  test("leaves other repositories their files, those that both have among them", async () => {
    for (const endpoint of [HUB, MIRROR]) await (await open({ endpoint })).open(WEIGHT);
    const before = await kept();
    for (const id of ["org", "org/tin", "tiny"]) expect(await remove(id)).toBe(false);
    expect(await kept()).toBe(before);
    expect(await remove()).toBe(true);
    expect(await kept()).toBe(before - 2); // the notes of the branch and the file
    const file = await (await open({ endpoint: MIRROR, localFilesOnly: true })).open(WEIGHT);
    expect(await file?.read(SIZE - 9)).toEqual(weight.slice(-9));
    expect(await remove(ID, `${MIRROR}/`)).toBe(true);
    expect(await kept()).toBe(0);
  });

  test("names what is no id, and keeps nothing where pages may not", async () => {
    for (const id of ["../x", "a/b/c", "", 7 as never]) await expect(remove(id)).rejects.toThrow(/is no id on the hub/);
    const none = { open: () => Promise.reject(new Error("SecurityError")) } as unknown as CacheStorage;
    expect(await deleteFrom(none, ID, {})).toBe(false);
    if (typeof window !== "undefined") expect(await deleteFromCache(ID, { endpoint: null })).toBe(false);
    else await expect(deleteFromCache(ID)).rejects.toThrow(/in Node the cache is .* models--org--tiny/);
  });
});
