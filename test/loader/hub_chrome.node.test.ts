// A page in Chrome that loads from a hub on another origin, with Chrome's own fetch, redirects, CORS and Cache API.
import { randomBytes } from "node:crypto";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import type { Browser } from "puppeteer";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startStaticServer } from "../../scripts/static_server.mjs";
import { launchChrome } from "../browser/chromium.js";
import { oneCommit, startFakeHub, type FakeHub } from "../support/fake_hub_node.js";
import { ID, sha256, WEIGHT } from "../support/hub_sandbox_node.js";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const PIECE = 8 << 20;
const SIZE = 2 * PIECE + 12_345;
const TOKEN = "hf_secret";
const weight = randomBytes(SIZE);

/** What the page does: loads a file and gives its hash. */
const PAGE = `
  import { openRepository } from "./src/loader/repository.ts";
  globalThis.load = async (id, file, options) => {
    const opened = await (await openRepository(id, options)).open(file);
    if (!opened) return null;
    const digest = await crypto.subtle.digest("SHA-256", await opened.read());
    return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
  };
`;

let hub: FakeHub;
let browser: Browser;
let server: Awaited<ReturnType<typeof startStaticServer>>;
beforeAll(async () => {
  const { outputFiles } = await build({
    stdin: { contents: PAGE, resolveDir: ROOT, loader: "ts", sourcefile: "page.ts" },
    ...{ bundle: true, splitting: true, format: "esm", platform: "browser", outdir: "/", write: false },
    external: ["node:*"],
    alias: { "@huggingface/hub": path.join(ROOT, "node_modules/@huggingface/hub/dist/browser/index.mjs") },
  });
  const virtual = new Map<string, string | Uint8Array>(
    outputFiles.map((file) => [`/${path.basename(file.path)}`, file.contents]),
  );
  virtual.set("/page.html", '<!doctype html><script type="module" src="/stdin.js"></script>');
  server = await startStaticServer({ root: ROOT, virtual });
  const repository = { ...oneCommit(new Map([[WEIGHT, weight]])), token: TOKEN };
  hub = await startFakeHub([[ID, repository]]);
  browser = await launchChrome();
});
afterAll(async () => {
  await browser?.close();
  await server?.close();
  await hub?.close();
});

const ranges = (): (string | undefined)[] => hub.seen.flatMap((seen) => (seen.at === "cdn" ? [seen.range] : []));

/** Loads in a page of its own; `during` may close it. */
async function load(file: string, during?: (close: () => Promise<void>) => Promise<void>): Promise<string | null> {
  const page = await browser.newPage();
  try {
    await page.goto(`${server.origin}/page.html`);
    await page.waitForFunction("globalThis.load");
    const options = { endpoint: hub.url, token: TOKEN };
    const result = page.evaluate(
      (...given: unknown[]) =>
        (globalThis as unknown as { load(...all: unknown[]): Promise<string | null> }).load(...given),
      ...[ID, file, options],
    );
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
