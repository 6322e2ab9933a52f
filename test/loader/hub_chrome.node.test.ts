// A page in Chrome that loads from a hub on another origin, with Chrome's own fetch, redirects, CORS and Cache API.
import { randomBytes } from "node:crypto";
import { fileURLToPath } from "node:url";
import type { Browser, Page } from "puppeteer";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startStaticServer } from "../../scripts/static_server.mjs";
import { bundlePage, PAGE } from "../browser/bundle.js";
import { launchChrome } from "../browser/chromium.js";
import { folderFiles, oneCommit, startFakeHub, type FakeHub } from "../support/fake_hub_node.js";
import { fixturePath } from "../support/files.js";
import { ID, sha256, WEIGHT } from "../support/hub_sandbox_node.js";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const PIECE = 8 << 20;
const SIZE = 2 * PIECE + 12_345;
const TOKEN = "hf_secret";
const MODEL = "org/sd";
const weight = randomBytes(SIZE);

let hub: FakeHub;
let browser: Browser;
let server: Awaited<ReturnType<typeof startStaticServer>>;
beforeAll(async () => {
  server = await startStaticServer({ root: ROOT, virtual: await bundlePage(ROOT, "test/browser/hub.ts") });
  const repository = { ...oneCommit(new Map([[WEIGHT, weight]])), token: TOKEN };
  hub = await startFakeHub([
    [ID, repository],
    [MODEL, oneCommit(folderFiles(fixturePath("models/repos/sd15")))],
  ]);
  browser = await launchChrome();
});
afterAll(async () => {
  await browser?.close();
  await server?.close();
  await hub?.close();
});

const ranges = (): (string | undefined)[] => hub.seen.flatMap((seen) => (seen.at === "cdn" ? [seen.range] : []));

async function openPage(): Promise<Page> {
  const page = await browser.newPage();
  await page.goto(`${server.origin}${PAGE}`);
  await page.waitForFunction("globalThis.hubPage");
  return page;
}

/** Loads in a page of its own; `during` may close it. */
async function load(file: string, during?: (close: () => Promise<void>) => Promise<void>): Promise<string | null> {
  const page = await openPage();
  try {
    const options = { endpoint: hub.url, token: TOKEN };
    const result = page.evaluate((...given) => globalThis.hubPage.load(...given), ID, file, options);
    await Promise.all([
      during?.(() => page.close()),
      result.catch((error: unknown) => during ?? Promise.reject(error)),
    ]);
    return await result;
  } finally {
    if (!page.isClosed()) await page.close();
  }
}

test("a page that is closed meanwhile goes on from the last whole piece; then nothing is fetched", async () => {
  hub.fault = ({ at, range }) =>
    at === "cdn" && range?.startsWith(`bytes=${PIECE}-`) ? { stall: 1 << 20 } : undefined;
  const closed = load(WEIGHT, async (close) => {
    while (!hub.seen.some(({ sent, range }) => range?.startsWith(`bytes=${PIECE}-`) && sent >= 1 << 20))
      await new Promise((resolve) => setTimeout(resolve, 20));
    await close();
  });
  await expect(closed).rejects.toThrow();
  hub.fault = () => undefined;
  hub.seen.length = 0;
  expect(await load(WEIGHT)).toBe(sha256(weight));
  expect(ranges()).toEqual([`bytes=${PIECE}-${2 * PIECE - 1}`, `bytes=${2 * PIECE}-${SIZE - 1}`]);
  // The token goes to the hub; Chrome takes it off the redirect to the CDN.
  for (const { at, authorization } of hub.seen)
    expect([at, authorization]).toEqual([at, at === "cdn" ? undefined : `Bearer ${TOKEN}`]);
  hub.seen.length = 0;
  expect(await load(WEIGHT)).toBe(sha256(weight));
  expect(hub.seen.map(({ at }) => at)).toEqual(["api"]);
});

test("a file that the repository does not have", async () => {
  expect(await load("absent.json")).toBeNull();
});

test("two pages and a worker load a model at once: its bytes come once, and all draw the same picture", async () => {
  const pages = await Promise.all([openPage(), openPage()]);
  hub.seen.length = 0;
  hub.fault = ({ at, path }) => (at === "cdn" && path === WEIGHT ? { pause: 20 } : undefined); // so that all come meanwhile
  const given = [MODEL, hub.url] as const;
  const [first, ...others] = await Promise.all([
    ...pages.map((page) => page.evaluate((...all) => globalThis.hubPage.draw(...all), ...given)),
    pages[1].evaluate((...all) => globalThis.hubPage.drawInWorker(...all), ...given),
  ]);
  hub.fault = () => undefined;
  await Promise.all(pages.map((page) => page.close()));
  expect(new Set(first.picture).size).toBeGreaterThan(50); // a picture, and not one colour
  for (const { picture } of others) expect(picture).toEqual(first.picture);

  for (const { missed } of [first, ...others]) expect(missed).toContain(WEIGHT);
  const fetched = hub.seen.filter(({ at, sent }) => at !== "api" && sent > 0).map(({ path }) => path);
  expect(fetched).toContain(WEIGHT);
  expect(fetched).toEqual([...new Set(fetched)]);
});
