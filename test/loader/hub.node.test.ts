// The hub in Node: what is fetched, where it lies, what the options and the environment do.
import {
  chmodSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import path from "node:path";
import { afterEach, describe, expect, test, vi } from "vitest";
import { DownloadBar } from "../../src/loader/hub/download_bar_node.js";
import {
  openRepository,
  readJSON,
  type HubOptions,
  type LoadProgress,
  type Repository,
} from "../../src/loader/repository.js";
import { gitHash, oneCommit, type Seen } from "../support/fake_hub_node.js";
import { COMMIT, CONFIG, filesBelow, ID, sha256, useHub, WEIGHT } from "../support/hub_sandbox_node.js";

const at = useHub(3_000_000);
const FOLDER = "models--org--tiny";
const said = ({ at: where, method, path: file, range }: Seen): string =>
  [where, method, file, range].filter(Boolean).join(" ");
const weight = (): Uint8Array => at.files.get(WEIGHT) as Uint8Array;

afterEach(() => vi.restoreAllMocks());

describe("a repository on the hub", () => {
  test("fetches what is opened, once, into Python's layout", async () => {
    const repository = await at.open();
    expect(repository.name).toBe(ID);
    expect((await readJSON(repository, CONFIG))._class_name).toBe("UNet2DConditionModel");
    const file = await repository.open(WEIGHT);
    expect(file?.size).toBe(3_000_000);
    expect(await file?.read(1_000_000, 1_000_100)).toEqual(new Uint8Array(weight().subarray(1_000_000, 1_000_100)));
    expect(at.hub.seen.map(said)).toEqual([
      "api GET",
      `hub HEAD ${CONFIG}`,
      `hub GET ${CONFIG}`,
      `hub HEAD ${WEIGHT}`,
      `hub GET ${WEIGHT}`,
      `cdn GET ${WEIGHT}`,
    ]);
    const [small, large] = [gitHash(at.files.get(CONFIG) as Uint8Array), sha256(weight())];
    expect(filesBelow(at.cache)).toEqual(
      [
        "CACHEDIR.TAG",
        `${FOLDER}/blobs/${small}`,
        `${FOLDER}/blobs/${large}`,
        `${FOLDER}/refs/main`,
        `${FOLDER}/snapshots/${COMMIT}/${CONFIG}`,
        `${FOLDER}/snapshots/${COMMIT}/${WEIGHT}`,
      ].sort(),
    );
    expect(readlinkSync(path.join(at.cache, FOLDER, "snapshots", COMMIT, WEIGHT))).toBe(`../../../blobs/${large}`);
    expect(readFileSync(path.join(at.cache, FOLDER, "refs/main"), "utf8")).toBe(COMMIT);
  });

  test("a second run asks for the commit and for nothing else", async () => {
    const first = await at.open();
    await first.open(CONFIG);
    await first.open(WEIGHT);
    expect(await first.open("unet/absent.json")).toBeNull();
    at.hub.seen.length = 0;
    const second = await at.open();
    expect((await second.open(WEIGHT))?.size).toBe(3_000_000);
    expect((await second.open(CONFIG))?.size).toBe(at.files.get(CONFIG)?.length);
    expect(await second.open("unet/absent.json")).toBeNull();
    expect(second.whyMissing?.("unet/absent.json")).toBe(`commit ${COMMIT} has no such file`);
    expect(at.hub.seen.map(said)).toEqual(["api GET"]);
    const pinned = await at.open({ revision: COMMIT });
    await pinned.open(WEIGHT);
    expect(at.hub.seen).toHaveLength(1);
  });

  test("a new commit costs one small request per file, and the bytes of those that changed", async () => {
    await (await at.open()).open(WEIGHT);
    await (await at.open()).open(CONFIG);
    const newer = "b".repeat(40);
    const repository = at.hub.repositories.get(ID);
    repository?.commits.set(newer, new Map(at.files).set(CONFIG, Buffer.from('{"new": 1}')));
    const before = await at.open();
    repository?.refs.set("main", newer);
    const after = await at.open();
    at.hub.seen.length = 0;
    expect(await readJSON(after, CONFIG)).toEqual({ new: 1 });
    expect((await after.open(WEIGHT))?.size).toBe(3_000_000);
    expect(at.hub.seen.map(said)).toEqual([`hub HEAD ${CONFIG}`, `hub GET ${CONFIG}`, `hub HEAD ${WEIGHT}`]);
    // What was opened before stays at its commit.
    expect((await readJSON(before, CONFIG))._class_name).toBe("UNet2DConditionModel");
    expect(readFileSync(path.join(at.cache, FOLDER, "refs/main"), "utf8")).toBe(newer);
  });

  test("a branch is noted for offline use where all its files are cached, too", async () => {
    const ref = path.join(at.cache, FOLDER, "refs/main");
    const offline = { localFilesOnly: true };
    await (await at.open({ revision: COMMIT })).open(CONFIG);
    await expect(at.open(offline)).rejects.toThrow(/revision main is not in the cache/);
    await at.open();
    expect(readFileSync(ref, "utf8")).toBe(COMMIT);
    expect(await (await at.open(offline)).open(CONFIG)).not.toBeNull();
    // One that has not moved is not written again.
    const before = statSync(ref).mtimeMs;
    utimesSync(ref, 1000, 1000);
    await (await at.open()).open(CONFIG);
    expect([before > 1e6, statSync(ref).mtimeMs]).toEqual([true, 1e6]);
  });

  test("a branch that moved back is noted so, and one that moved to what is not cached is not", async () => {
    const ref = path.join(at.cache, FOLDER, "refs/main");
    const repository = at.hub.repositories.get(ID);
    const newer = "b".repeat(40);
    repository?.commits.set(newer, new Map(at.files));
    await (await at.open()).open(CONFIG);
    repository?.refs.set("main", newer);
    const moved = await at.open();
    expect(readFileSync(ref, "utf8")).toBe(COMMIT); // offline, the old files are better than none
    await moved.open(CONFIG);
    expect(readFileSync(ref, "utf8")).toBe(newer);
    repository?.refs.set("main", COMMIT);
    await at.open();
    expect(readFileSync(ref, "utf8")).toBe(COMMIT);
  });

  test("branches, tags and pull requests by name", async () => {
    const repository = at.hub.repositories.get(ID);
    repository?.refs.set("refs/pr/1", "c".repeat(40));
    repository?.commits.set("c".repeat(40), new Map([["config.json", Buffer.from('{"pr": 1}')]]));
    const opened = await at.open({ revision: "refs/pr/1" });
    expect(await readJSON(opened, "config.json")).toEqual({ pr: 1 });
    expect(opened.name).toBe("org/tiny@refs/pr/1");
    expect(readFileSync(path.join(at.cache, FOLDER, "refs/refs/pr/1"), "utf8")).toBe("c".repeat(40));
  });

  test("an empty file, and names that need escapes", async () => {
    const names = ["empty.txt", "a b/é#?&+.json", "100%.txt"];
    const files = new Map(names.map((name, i) => [name, new Uint8Array(i)]));
    at.hub.repositories.set(ID, oneCommit(files));
    const repository = await at.open();
    for (const [name, bytes] of files) expect(await (await repository.open(name))?.read()).toEqual(bytes);
    expect(filesBelow(at.cache)).toContain(`${FOLDER}/snapshots/${COMMIT}/a b/é#?&+.json`);
  });

  test("four downloads at once, the others in turn", async () => {
    const files = new Map(Array.from({ length: 12 }, (_, i) => [`${i}.json`, Buffer.alloc(100, i)]));
    at.hub.repositories.set(ID, oneCommit(files));
    let most = 0;
    let now = 0;
    // No timing decides: the first four are held until they are four and the one in line has given up.
    let arrived = (): void => undefined;
    let release = (): void => undefined;
    const four = new Promise<void>((resolve) => (arrived = resolve));
    const held = new Promise<void>((resolve) => (release = resolve));
    const counting: typeof fetch = async (url, init) => {
      if (init?.method === "HEAD" || String(url).includes("/api/")) return fetch(url, init);
      most = Math.max(most, ++now);
      if (now === 4) arrived();
      await held;
      return fetch(url, init).finally(() => now--);
    };
    const controller = new AbortController();
    const repository = await at.open({ fetch: counting });
    const impatient = await at.open({ fetch: counting, signal: controller.signal });
    const opened = Promise.all([...files.keys()].slice(0, 10).map((name) => repository.open(name)));
    await four;
    const stopped = impatient.open("11.json");
    setTimeout(() => controller.abort(new Error("enough")), 30);
    await expect(stopped).rejects.toThrow("enough");
    release();
    expect((await opened).map((file) => file?.size)).toEqual(Array(10).fill(100));
    expect(most).toBe(4);
    expect((await (await at.open()).open("11.json"))?.size).toBe(100);
  });

  test("sends the token to the hub and not to the CDN", async () => {
    const repository = at.hub.repositories.get(ID);
    if (repository) repository.token = "hf_secret";
    await expect(at.open()).rejects.toThrow(/gated; accept its conditions at .*org\/tiny and give a token/);
    await expect(at.open({ token: "hf_wrong" })).rejects.toThrow(/gated.*check that your token/);
    await expect(at.open({ token: "hf_\nX: y" })).rejects.toThrow(/^token: must be printable/);
    at.hub.seen.length = 0;
    process.env.HF_TOKEN = "hf_secret";
    await (await at.open()).open(WEIGHT);
    const byPlace = (place: Seen["at"]): (string | undefined)[] =>
      at.hub.seen.filter((seen) => seen.at === place).map(({ authorization }) => authorization);
    expect(byPlace("api")).toEqual(["Bearer hf_secret"]);
    expect(byPlace("hub")).toEqual(["Bearer hf_secret", "Bearer hf_secret"]);
    expect(byPlace("cdn")).toEqual([undefined]);
    await expect(at.open({ token: false, revision: "v2" })).rejects.toThrow(/gated/);
    delete process.env.HF_TOKEN;
    writeFileSync(path.join(at.cache, "token"), "hf_secret\n");
    await (await at.open()).open(CONFIG);
  });

  test("a token that is null is one that was not given; true asks for the stored one, and false for none", async () => {
    const open = (token: HubOptions["token"]): Promise<Repository> =>
      openRepository(ID, { endpoint: at.hub.url, cacheDir: at.cache, token });
    const sent = async (token: HubOptions["token"]): Promise<string | undefined> => {
      at.hub.seen.length = 0;
      await open(token);
      return at.hub.seen[0].authorization;
    };
    expect(await sent(null)).toBeUndefined();
    await expect(open(true)).rejects.toThrow(/^token: true asks for the stored token, and there is none/);
    process.env.HF_TOKEN = "hf_stored";
    expect(await sent(null)).toBe("Bearer hf_stored");
    expect(await sent(true)).toBe("Bearer hf_stored");
    expect(await sent(false)).toBeUndefined();
    process.env.HF_HUB_DISABLE_IMPLICIT_TOKEN = "1"; // what is asked for is not implicit
    expect(await sent(null)).toBeUndefined();
    expect(await sent(true)).toBe("Bearer hf_stored");
    at.hub.seen.length = 0;
    for (const token of [7, 0, NaN, {}, ["hf_x"]])
      await expect(open(token as never)).rejects.toThrow(/^token: must be a string, true, false or null/);
    expect(at.hub.seen).toHaveLength(0);
  });

  test("reports progress in the shape of transformers.js", async () => {
    const events: LoadProgress[] = [];
    const progressCallback = (event: LoadProgress): void => void events.push(event);
    const repository = await at.open({ progressCallback });
    await repository.open(WEIGHT);
    const total = 3_000_000;
    expect(events[0]).toEqual({ status: "initiate", name: ID, file: WEIGHT, loaded: 0, total, progress: 0 });
    expect(events[1].status).toBe("download");
    const loaded = events.filter(({ status }) => status === "progress").map((event) => event.loaded);
    expect(loaded.length).toBeGreaterThan(2);
    expect(loaded).toEqual([...loaded].sort((a, b) => a - b));
    expect(loaded.at(-1)).toBe(total);
    expect(events.at(-1)).toEqual({ status: "done", name: ID, file: WEIGHT, loaded: total, total, progress: 100 });
    events.length = 0;
    await repository.open(WEIGHT);
    expect(events.map(({ status }) => status)).toEqual(["initiate", "done"]);
  });

  test("a progress callback that rejects ends what is asked of the repository, as one that throws", async () => {
    const fault = new Error("mine");
    const callbacks = [
      (): never => {
        throw fault;
      },
      (): Promise<never> => Promise.reject(fault),
      async (): Promise<never> => {
        await new Promise((resolve) => setTimeout(resolve, 5));
        throw fault;
      },
    ];
    at.hub.fault = ({ path }) => (path === WEIGHT ? { pause: 5 } : undefined); // 46 times
    for (const progressCallback of callbacks) {
      const options = { endpoint: at.hub.url, cacheDir: at.cache, progressCallback };
      const repository = await openRepository(ID, options);
      await expect(repository.open(WEIGHT)).rejects.toBe(fault);
      expect(at.hub.bytes()).toBeLessThan(3_000_000);
    }
  });

  test("refuses names, revisions and paths that would leave the cache", async () => {
    for (const revision of [
      "..",
      "../x",
      "a/../b",
      "/x",
      "a\\b",
      "a\0",
      "%2e%2e",
      "x ",
      "a b",
      "C:x",
      "nul",
      "x~1",
      "",
    ])
      await expect(at.open({ revision })).rejects.toThrow(/^revision ".*": must be a branch/);
    const repository = await at.open();
    for (const file of ["../x", "/etc/passwd", "a/../../b", "a\\b", "%2e%2e/x", "C:/x", "nul", "a\0b"])
      await expect(repository.open(file)).rejects.toThrow(/^repository path /);
    await expect(openRepository("a/b/c")).rejects.toThrow(/no such folder/);
    await expect(openRepository("org/na--me")).rejects.toThrow(/no such folder/);
    await expect(at.open({ endpoint: "file:///etc" })).rejects.toThrow(/^endpoint /);
    expect(filesBelow(at.cache)).toEqual([]);
  });

  test("what the cache has broken is repaired", async () => {
    await (await at.open()).open(WEIGHT);
    const blob = path.join(at.cache, FOLDER, "blobs", sha256(weight()));
    renameSync(blob, `${blob}.away`); // a dangling link
    expect((await (await at.open()).open(WEIGHT))?.size).toBe(3_000_000);
    rmSync(path.join(at.cache, FOLDER, "snapshots"), { recursive: true });
    writeFileSync(blob, "short"); // as @huggingface/hub may leave it
    expect((await (await at.open()).open(WEIGHT))?.size).toBe(3_000_000);
    expect(sha256(readFileSync(blob))).toBe(sha256(weight()));
  });

  test("a cache that cannot be written says so", async () => {
    const file = path.join(at.cache, "a-file");
    writeFileSync(file, "");
    await expect((await at.open({ cacheDir: path.join(file, "hub") })).open(CONFIG)).rejects.toThrow(
      /^cache .*a-file.*cannot be written: .*option cacheDir, HF_HOME/,
    );
    await (await at.open()).open(CONFIG);
    chmodSync(at.cache, 0o500);
    try {
      expect((await (await at.open()).open(CONFIG))?.size).toBe(at.files.get(CONFIG)?.length);
    } finally {
      chmodSync(at.cache, 0o700);
    }
  });
});

describe("environment", () => {
  test("names the hub and the cache as for Python", async () => {
    const place = (name: string): string => path.join(at.cache, name);
    process.env.HF_ENDPOINT = `${at.hub.url}/`;
    const expectCacheIn = async (folder: string): Promise<void> => {
      const repository = await openRepository(ID);
      await repository.open(CONFIG);
      expect(filesBelow(folder)).toContain(`${FOLDER}/refs/main`);
    };
    delete process.env.HF_HOME;
    process.env.XDG_CACHE_HOME = place("xdg");
    await expectCacheIn(place("xdg/huggingface/hub"));
    process.env.HF_HOME = place("home");
    await expectCacheIn(place("home/hub"));
    process.env.HUGGINGFACE_HUB_CACHE = place("old");
    await expectCacheIn(place("old"));
    process.env.HF_HUB_CACHE = place("new");
    await expectCacheIn(place("new"));
    process.env.PLACE = place("expanded");
    process.env.HF_HUB_CACHE = "$PLACE/${PLACE_OF_NOTHING}";
    await expectCacheIn(place("expanded/${PLACE_OF_NOTHING}"));
    delete process.env.PLACE;
  });

  test("a local folder of the same name comes first", async () => {
    mkdirSync(path.join(at.cache, "org/tiny"), { recursive: true });
    const here = process.cwd();
    process.chdir(at.cache);
    try {
      expect(await (await openRepository(ID)).open("nothing")).toBeNull();
    } finally {
      process.chdir(here);
    }
    expect(at.hub.seen).toHaveLength(0);
  });
});

describe("offline", () => {
  const offline: [string, () => { localFilesOnly?: boolean }][] = [
    ["localFilesOnly", () => ({ localFilesOnly: true })],
    ["HF_HUB_OFFLINE", () => ((process.env.HF_HUB_OFFLINE = "1"), {})],
    ["TRANSFORMERS_OFFLINE", () => ((process.env.TRANSFORMERS_OFFLINE = "yes"), {})],
  ];
  for (const [name, options] of offline)
    test(`${name}: full, part and empty cache, no request`, async () => {
      await (await at.open()).open(CONFIG);
      at.hub.seen.length = 0;
      const repository = await at.open(options());
      expect((await readJSON(repository, CONFIG))._class_name).toBe("UNet2DConditionModel");
      expect(await repository.open(WEIGHT)).toBeNull();
      await expect(readJSON(repository, "model_index.json")).rejects.toThrow(
        new RegExp(
          `^model_index.json: no such file in org/tiny \\(it is not in the cache .*${COMMIT}, and ${name} is set\\)`,
        ),
      );
      await expect(at.open({ ...options(), revision: "v2" })).rejects.toThrow(/revision v2 is not in the cache/);
      await expect(at.open({ ...options(), cacheDir: path.join(at.cache, "none") })).rejects.toThrow(
        new RegExp(
          `^org/tiny: revision main is not in the cache .*, and ${name} is set; load it once with the network`,
        ),
      );
      expect(at.hub.seen).toHaveLength(0);
    });

  const away: [string, () => void | Promise<void>][] = [
    ["server gone", () => at.hub.close()],
    ["name not found", () => void (at.hub.url = "http://nosuchhost.invalid")],
    ["503", () => void (at.hub.fault = () => ({ status: 503 }))],
    ["429", () => void (at.hub.fault = () => ({ status: 429, headers: { "retry-after": "1000" } }))],
    ["captive portal", () => void (at.hub.fault = () => ({ status: 200, body: "<html>log in</html>" }))],
    ["gated since", () => void (at.hub.fault = () => ({ status: 403, headers: { "x-error-code": "GatedRepo" } }))],
  ];
  for (const [name, goAway] of away)
    test(`${name}: cached files with a warning, else an error`, async () => {
      await (await at.open()).open(CONFIG);
      await goAway();
      const warn = vi.spyOn(console, "warn").mockImplementation(() => undefined);
      const repository = await at.open();
      expect(warn.mock.calls).toHaveLength(1);
      expect(warn.mock.calls[0][0]).toContain(`The cached files of commit ${COMMIT} are used instead`);
      expect((await readJSON(repository, CONFIG))._class_name).toBe("UNet2DConditionModel");
      expect(await repository.open(WEIGHT)).toBeNull();
      expect(repository.whyMissing?.(WEIGHT)).toMatch(/not in the cache .*the hub could not be asked/);
      await expect(at.open({ cacheDir: path.join(at.cache, "none") })).rejects.toThrow(/^org\/tiny at revision main: /);
    });

  test("a revision that the hub no longer has is an error all the same", async () => {
    await (await at.open()).open(CONFIG);
    at.hub.repositories.get(ID)?.refs.clear();
    await expect(at.open()).rejects.toThrow(/there is no such revision/);
  });
});

describe("a bar on a terminal", () => {
  test("has a line for each file that is downloaded", () => {
    let written = "";
    const bar = new DownloadBar({ write: (text) => (written += text) });
    const event = (status: LoadProgress["status"], loaded: number): LoadProgress => ({
      status,
      name: ID,
      file: WEIGHT,
      loaded,
      total: 2_500_000_000,
      progress: loaded / 25_000_000,
    });
    bar.report(event("initiate", 0), 1000);
    bar.report(event("progress", 1_250_000_000), 1000);
    bar.report(event("progress", 1_260_000_000), 1001); // too soon
    bar.report(event("progress", 2_500_000_000), 1002);
    bar.report(event("done", 2_500_000_000), 1003);
    expect(written).toBe(
      `\r${WEIGHT}:  50%|${"█".repeat(10)}${" ".repeat(10)}| 1.3GB/2.5GB\x1b[K` +
        `\r${WEIGHT}: 100%|${"█".repeat(20)}| 2.5GB/2.5GB\x1b[K\n`,
    );
  });
});

test("a bar has one line for all files that are downloaded at once", () => {
  let written = "";
  const bar = new DownloadBar({ write: (text) => (written += text) });
  const report = (file: string, loaded: number, now: number): void =>
    bar.report({ status: "progress", name: ID, file, loaded, total: 1000, progress: loaded / 10 }, now);
  report("a", 100, 1000);
  report("b", 200, 1200);
  report("a", 1000, 1201);
  report("b", 600, 1400);
  const lines = written.split("\r").map((line) => line.replace("\x1b[K", "").replace(/\|.*\|/, ""));
  expect(lines).toEqual([
    "",
    "a:  10% 100B/1.0kB",
    "2 files:  15% 300B/2.0kB",
    "a: 100% 1.0kB/1.0kB\n",
    "b:  60% 600B/1.0kB",
  ]);
});
