// Processes that die, that run at the same time, or that are told to stop: the next run ends with the right files.
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { FLUSH_BYTES } from "../../src/loader/hub/download_node.js";
import { oneCommit } from "../support/fake_hub_node.js";
import { bundleChild, runChild, type Child, type ChildResult } from "../support/hub_child_node.js";
import { COMMIT, CONFIG, filesBelow, ID, sha256, useHub, WEIGHT } from "../support/hub_sandbox_node.js";

const SIZE = 4 << 20;
const POINTS = 64;
const SOCKET_BYTES = 128 * 1024; // a process may die before it has read what it was sent
const at = useHub(SIZE);
const FOLDER = "models--org--tiny";

let scripts: string;
let script: string;
beforeAll(async () => {
  scripts = mkdtempSync(path.join(tmpdir(), "hub-child-"));
  script = await bundleChild(scripts);
});
afterAll(() => rmSync(scripts, { recursive: true }));

const hash = (): string => sha256(at.files.get(WEIGHT) as Uint8Array);
const partial = (): string => path.join(at.cache, FOLDER, "blobs", `${hash()}.partial`);
const partialSize = (): number => (existsSync(partial()) ? statSync(partial()).size : 0);
const lock = (): string => path.join(at.cache, ".locks", FOLDER, `${hash()}.pid`);
const child = (options: { killAt?: number; killWhen?: "before" | "after" } = {}): Child =>
  runChild(script, { endpoint: at.hub.url, cacheDir: at.cache, id: ID, revision: COMMIT, file: WEIGHT, ...options });

/** Loads in this process; the file must be right and nothing else left. */
async function expectRightFiles(): Promise<void> {
  const file = await (await at.open({ revision: COMMIT })).open(WEIGHT);
  expect(sha256((await file?.read()) as Uint8Array)).toBe(hash());
  const left = filesBelow(at.cache).filter((name) => !/^CACHEDIR.TAG$|\/refs\//.test(name));
  // A process that dies when its work is done may leave its lock, as Python's client always does.
  expect(left.filter((name) => !name.startsWith(".locks"))).toEqual([
    `${FOLDER}/blobs/${hash()}`,
    `${FOLDER}/snapshots/${COMMIT}/${WEIGHT}`,
  ]);
  expect(left.length).toBeLessThan(4);
}

async function until(condition: () => boolean): Promise<void> {
  const end = Date.now() + 20_000;
  while (!condition()) {
    if (Date.now() > end) throw new Error("the child did not get there in 20 s");
    await new Promise((resolve) => setTimeout(resolve, 3));
  }
}

describe("a killed process", () => {
  test(`at ${POINTS} points of the bytes: no more than one flush unit is fetched again`, async () => {
    for (let point = 0; point < POINTS; point++) {
      const sent = Math.min(SIZE - 1, Math.round((SIZE * point) / (POINTS - 1)));
      rmSync(at.cache, { recursive: true });
      at.hub.seen.length = 0;
      at.hub.fault = ({ at: place }) => (place === "cdn" ? { stall: sent } : undefined);
      const running = child();
      await until(() => at.hub.seen.some(({ at: place, sent: bytes }) => place === "cdn" && bytes >= sent));
      await until(() => partialSize() >= sent - FLUSH_BYTES - SOCKET_BYTES);
      running.kill();
      expect(await running.ended).toBe("killed");
      expect(existsSync(path.join(at.cache, FOLDER, "blobs", hash()))).toBe(false);
      expect(existsSync(path.join(at.cache, FOLDER, "snapshots"))).toBe(false);
      const kept = partialSize();
      at.hub.fault = () => undefined;
      at.hub.seen.length = 0;
      await expectRightFiles();
      expect(at.hub.bytes()).toBe(SIZE - kept);
    }
  });

  test("before and after every change of a file", async () => {
    const whole = await child().ended;
    expect(whole).toMatchObject({ size: SIZE });
    const calls = (whole as ChildResult).calls;
    expect(calls).toBeGreaterThan(7);
    for (let point = 1; point <= calls; point++)
      for (const when of ["before", "after"] as const) {
        rmSync(at.cache, { recursive: true });
        expect(await child({ killAt: point, killWhen: when }).ended).toBe("killed");
        await expectRightFiles();
      }
  });
});

test("memory does not grow with the file", async () => {
  at.hub.repositories.set(ID, oneCommit(new Map([[WEIGHT, new Uint8Array(160 << 20)]]), COMMIT));
  const { size, megabytes } = (await child().ended) as ChildResult;
  expect(size).toBe(160 << 20);
  expect(megabytes).toBeLessThan(110); // a fetch of Node takes about 50
});

describe("at the same time", () => {
  test("8 calls and 3 processes: one download", async () => {
    at.hub.fault = ({ at: place }) => (place === "cdn" ? { pause: 5 } : undefined);
    const children = [child(), child(), child()];
    const files = await Promise.all(
      Array.from({ length: 8 }, async () => (await at.open({ revision: COMMIT })).open(WEIGHT)),
    );
    for (const file of files) expect(file?.size).toBe(SIZE);
    for (const { ended } of children) expect(await ended).toMatchObject({ size: SIZE });
    expect(at.hub.bytes()).toBe(SIZE);
    await expectRightFiles();
  });

  test("two files at once, and two revisions with the same bytes", async () => {
    const repository = await at.open();
    const [config, weight] = await Promise.all([repository.open(CONFIG), repository.open(WEIGHT)]);
    expect(config?.size).toBe(at.files.get(CONFIG)?.length);
    expect(weight?.size).toBe(SIZE);
    at.hub.repositories.get(ID)?.commits.set("b".repeat(40), at.files);
    at.hub.seen.length = 0;
    expect((await (await at.open({ revision: "b".repeat(40) })).open(WEIGHT))?.size).toBe(SIZE);
    expect(at.hub.bytes()).toBe(0);
  });

  const holder = (pid: number): string => JSON.stringify({ pid, host: hostname(), id: "x" });
  const locks: Record<string, () => void> = {
    "of a dead process": () => writeFileSync(lock(), holder(2 ** 22 + 1)),
    "without a heartbeat": () => {
      writeFileSync(lock(), holder(process.pid));
      utimesSync(lock(), 1, 1);
    },
    "never written": () => {
      writeFileSync(lock(), "");
      utimesSync(lock(), 1, 1);
    },
    "that is garbage": () => {
      writeFileSync(lock(), "{[");
      utimesSync(lock(), 1, 1);
    },
  };
  for (const [name, make] of Object.entries(locks))
    test(`a lock ${name} is broken`, async () => {
      mkdirSync(path.dirname(lock()), { recursive: true });
      make();
      await expectRightFiles();
      expect(existsSync(lock())).toBe(false);
    });

  test("a lock that is held is waited for", async () => {
    mkdirSync(path.dirname(lock()), { recursive: true });
    writeFileSync(lock(), holder(process.pid));
    const load = (await at.open({ revision: COMMIT })).open(WEIGHT);
    const early = await Promise.race([load, new Promise((resolve) => setTimeout(resolve, 300, "waiting"))]);
    expect(early).toBe("waiting");
    expect(at.hub.bytes()).toBe(0);
    rmSync(lock());
    expect((await load)?.size).toBe(SIZE);
  });
});

describe("abort", () => {
  const reason = new Error("enough");

  test("before, while asking, while downloading, while waiting", async () => {
    await expect(at.open({ signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    const whens: Record<string, (controller: AbortController) => void> = {
      "while resolving": (controller) => (at.hub.fault = () => (controller.abort(reason), { stall: "before" })),
      "while asking": (controller) =>
        (at.hub.fault = ({ method }) =>
          method === "HEAD" ? (controller.abort(reason), { stall: "before" }) : undefined),
      "while downloading": (controller) => {
        at.hub.fault = ({ at: place }) => (place === "cdn" ? { stall: SIZE / 2 } : undefined);
        void until(() => partialSize() >= SIZE / 2 - FLUSH_BYTES).then(() => controller.abort(reason));
      },
    };
    for (const start of Object.values(whens)) {
      const controller = new AbortController();
      start(controller);
      const load = at.open({ signal: controller.signal }).then((repository) => repository.open(WEIGHT));
      await expect(load).rejects.toBe(reason);
      expect(filesBelow(path.join(at.cache, ".locks"))).toEqual([]);
    }
    expect(partialSize()).toBeGreaterThan(SIZE / 2 - FLUSH_BYTES - 1);
    at.hub.fault = () => undefined;
    await expectRightFiles();
  });

  test("one of two callers: the other gets its file", async () => {
    at.hub.fault = ({ at: place, before }) => (place === "cdn" && before === 0 ? { stall: 2 << 20 } : undefined);
    const controller = new AbortController();
    const stopped = (await at.open({ signal: controller.signal })).open(WEIGHT);
    const waiter = new AbortController();
    await until(() => partialSize() > 0);
    const other = (await at.open()).open(WEIGHT);
    const impatient = (await at.open({ signal: waiter.signal })).open(WEIGHT);
    setTimeout(() => waiter.abort(reason), 50);
    await expect(impatient).rejects.toBe(reason);
    controller.abort(reason);
    await expect(stopped).rejects.toBe(reason);
    expect((await other)?.size).toBe(SIZE);
    expect(sha256(readFileSync(path.join(at.cache, FOLDER, "blobs", hash())))).toBe(hash());
  });
});
