// The GPU is lost in earnest: Chrome's GPU process ends, as with a driver's fault, while a page loads, draws or waits.
import { fileURLToPath } from "node:url";
import type { Browser, Page } from "puppeteer";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startStaticServer } from "../../scripts/static_server.mjs";
import { bundlePage, PAGE } from "../browser/bundle.js";
import { launchChrome } from "../browser/chromium.js";
import { ANY_NUMBER_OF_CRASHES, endGPU } from "../browser/end_gpu.js";
import type { DrawMoment, Ending, LoadMoment } from "../browser/gpu_crash.js";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
/** A rejection takes some milliseconds; this is for machines that are busy. */
const PROMPT = 5_000;

let server: Awaited<ReturnType<typeof startStaticServer>> | undefined;
let browser: Browser | undefined;
let page: Page;
/** What no call rejected with. */
const escaped: unknown[] = [];

beforeAll(async () => {
  server = await startStaticServer({ root: ROOT, virtual: await bundlePage(ROOT, "test/browser/gpu_crash.ts") });
  const chrome = (browser = await launchChrome({ args: ANY_NUMBER_OF_CRASHES }));
  page = await chrome.newPage();
  page.on("pageerror", (error) => escaped.push(error));
  await page.exposeFunction("endGPU", () => endGPU(chrome));
  await page.goto(`${server.origin}${PAGE}`);
  await page.waitForFunction("globalThis.gpuCrash");
});
afterAll(async () => {
  await browser?.close();
  await server?.close();
});

const load = (at?: LoadMoment): Promise<Ending> => page.evaluate((moment) => globalThis.gpuCrash.load(moment), at);
const draw = (at?: DrawMoment): Promise<Ending> => page.evaluate((moment) => globalThis.gpuCrash.draw(moment), at);
const recover = (): Promise<Ending> => page.evaluate(() => globalThis.gpuCrash.recover());

function expectLoss({ picture, error, milliseconds }: Ending): void {
  expect({ picture, error }).toEqual({
    picture: undefined,
    error: expect.stringMatching(/^DeviceLostError: .*await pipeline\.recover\(\)/) as string,
  });
  expect(milliseconds).toBeLessThan(PROMPT);
}

test.each(["compile", "weights"] as const)("while a pipeline loads (%s): the load rejects", async (moment) => {
  expectLoss(await load(moment));
});

test("after each loss a pipeline recovers and draws the same picture", async () => {
  expect(await load("device")).not.toHaveProperty("error"); // nothing is lost yet: another adapter gives the device
  const { picture: wanted, error } = await draw();
  expect(error).toBeUndefined();
  expect(new Set(wanted).size).toBeGreaterThan(50); // a picture, and not one colour
  for (const moment of ["start", "step", "decode", "idle"] as const) {
    expectLoss(await draw(moment));
    expectLoss(await draw()); // and again, until it recovers
    expect(await recover()).not.toHaveProperty("error");
    const { picture } = await draw();
    expect(picture, moment).toEqual(wanted);
  }
  expect(escaped).toEqual([]);
});
