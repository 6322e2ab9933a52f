// The example page draws a picture in headless Chrome, from the built library in dist (`npm run build` first).
import { fileURLToPath } from "node:url";
import type { Browser, Page } from "puppeteer";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startStaticServer } from "../../scripts/static_server.mjs";
import { launchChrome } from "../browser/chromium.js";
import { endGPU } from "../browser/end_gpu.js";
import { floats, readGolden } from "../support/goldens.js";
import { differences } from "../support/pipelines.js";

/** Draws as the page does, in a module worker, where import maps do not reach: from the library as one file. */
const WORKER = `
import { DDIMScheduler, DiffusionPipeline, EMBEDDED_MODEL, Generator } from "/dist/bundle/browser/webgpu-diffusers.js";
try {
  const pipeline = await DiffusionPipeline.fromPretrained(EMBEDDED_MODEL);
  pipeline.scheduler = DDIMScheduler.fromConfig(pipeline.scheduler.config);
  const { images } = await pipeline("a red circle on a white background", {
    numInferenceSteps: 25,
    guidanceScale: 3,
    generator: new Generator("cpu").manualSeed(8),
  });
  postMessage({ rgb: [...images[0].data] });
} catch (error) {
  postMessage({ error: String(error) });
}`;

const PATIENCE = 300_000; // SwiftShader compiles and runs every shader on the CPU

describe("the example page", () => {
  let server: Awaited<ReturnType<typeof startStaticServer>> | undefined;
  let browser: Browser | undefined;
  let page: Page;
  const complaints: string[] = [];

  beforeAll(async () => {
    server = await startStaticServer({
      root: fileURLToPath(new URL("../..", import.meta.url)),
      virtual: new Map([["/worker.js", WORKER]]),
    });
    browser = await launchChrome();
    page = await browser.newPage();
    page.on("console", (message) => {
      if (message.type() === "error") complaints.push(`${message.text()} ${message.location().url ?? ""}`);
    });
    page.on("pageerror", (error) => complaints.push(String(error)));
    page.on("requestfailed", (request) => {
      if (request.resourceType() === "script") complaints.push(`cannot load ${request.url()}; npm run build first?`);
    });
    await page.goto(`${server.origin}/examples/browser/`);
  }, PATIENCE);

  afterAll(async () => {
    await browser?.close();
    await server?.close();
  });

  const untilStatus = async (pattern: RegExp): Promise<void> => {
    const status = (): Promise<string> => page.$eval("#status", (element) => element.textContent ?? "");
    for (const start = Date.now(); !pattern.test(await status()); await new Promise((wait) => setTimeout(wait, 100))) {
      if (complaints.length === 0 && Date.now() - start < PATIENCE && !/^Failed/.test(await status())) continue;
      throw new Error(`the page says "${await status()}", wanted ${pattern}; errors: ${complaints.join("; ")}`);
    }
  };
  const fill = (name: string, value: string): Promise<void> =>
    page.$eval(`[name=${name}]`, (element, text) => void ((element as HTMLInputElement).value = text), value);
  const ask = async (steps: number): Promise<void> => {
    await fill("prompt", "a red circle on a white background");
    await fill("seed", "8");
    await fill("steps", String(steps));
    await fill("guidance", "3");
    await page.select("[name=scheduler]", "DDIMScheduler");
    await page.click("#draw");
  };
  /** The very picture that diffusers draws with 25 steps, within one step of 255 on average. */
  const expectGolden = async (): Promise<void> => {
    const [size, rgba] = await page.$eval("canvas", (canvas) => {
      const { width, height } = canvas;
      return [[width, height], [...canvas.getContext("2d")!.getImageData(0, 0, width, height).data]];
    });
    expect(size).toEqual([64, 64]);
    await expectNear(rgba.filter((_, i) => i % 4 < 3));
  };
  const expectNear = async (bytes: number[]): Promise<void> => {
    const golden = floats(await readGolden("shapes/0-DDIMScheduler.safetensors"), "image");
    const values = bytes.map((value) => value / 255);
    expect(differences(values, golden).mean).toBeLessThan(1 / 255);
  };

  test("loads the embedded model", { timeout: PATIENCE }, () => untilStatus(/^Ready/));

  test("draws the picture that diffusers draws", { timeout: PATIENCE }, async () => {
    await ask(25);
    await untilStatus(/^Drawn/);
    await expectGolden();
    expect(complaints).toEqual([]);
  });

  test("a module worker draws the same", { timeout: PATIENCE }, async () => {
    const { rgb, error } = await page.evaluate(
      () =>
        new Promise<{ rgb?: number[]; error?: string }>((resolve) => {
          const worker = new Worker("/worker.js", { type: "module" });
          worker.onmessage = ({ data }) => {
            worker.terminate();
            resolve(data as { rgb?: number[]; error?: string });
          };
          worker.onerror = ({ message }) => resolve({ error: message });
        }),
    );
    expect(error).toBe(undefined);
    expect(rgb).toHaveLength(64 * 64 * 3);
    await expectNear(rgb!);
  });

  test("Cancel stops a drawing", { timeout: PATIENCE }, async () => {
    await ask(500);
    await untilStatus(/^(Drawing|Step)/);
    await page.click("#cancel");
    await untilStatus(/^Cancelled/);
    expect(await page.$eval("#draw", (button) => (button as HTMLButtonElement).disabled)).toBe(false);
  });

  test("starts again by itself where the GPU's process has crashed", { timeout: PATIENCE }, async () => {
    await page.$eval("canvas", (canvas) => canvas.getContext("2d")!.reset());
    await ask(25);
    await untilStatus(/^Step/);
    const told = page.waitForFunction(
      () => document.getElementById("status")?.textContent === "The browser has lost the GPU. Starting again …",
      { polling: "mutation" },
    );
    await endGPU(browser!);
    await told;
    await untilStatus(/^Drawn/);
    await expectGolden();
    expect(complaints).toEqual([]);
  });

  test(
    "says what to do where Chrome gives no GPU after a second crash, and that helps",
    { timeout: PATIENCE },
    async () => {
      await endGPU(browser!);
      await ask(25);
      await untilStatus(/^The browser gives this page no GPU any more\. Please reload the page/);
      expect(complaints.splice(0)).toEqual([expect.stringMatching(/^NoAdapterError: .*reload the page/)]);
      // As patient as the rest: on a busy machine puppeteer's own 30 seconds were over once. What counts is that the page gets ready.
      await page.reload({ waitUntil: "domcontentloaded", timeout: PATIENCE });
      await untilStatus(/^Ready/);
      expect(complaints).toEqual([]);
    },
  );
});
