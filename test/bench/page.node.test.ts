// The suite in a page: as `bench --where chrome` runs it, and as a person does who opens what `bench --serve` serves.
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import type { Browser, Page } from "puppeteer";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readParameters, writeParameters, type Asked } from "../../bench/page/parameters.js";
import { PAGE, pageServer } from "../../bench/page/serve.js";
import { parseLines } from "../../bench/results.js";
import { startStaticServer } from "../../scripts/static_server.mjs";
import { launchChrome } from "../browser/chromium.js";
import { runCLI } from "../cli/run_cli.js";

describe("the page's address", () => {
  test("says what is asked for", () => {
    const all: Asked[] = [
      { quick: true, tune: false, filter: "" },
      { quick: false, tune: true, dtype: "float16", filter: "conv2d 3x3 & more" },
    ];
    for (const asked of all)
      for (const run of [true, false]) expect(readParameters(writeParameters(asked, run))).toEqual({ asked, run });
    expect(readParameters("")).toEqual({ asked: all[0], run: false });
  });

  test("is refused where it is wrong", () => {
    expect(() => readParameters("?dtype=int8")).toThrow('dtype in the address must be float32 or float16, got "int8"');
    expect(() => readParameters("?quick=1")).toThrow('quick in the address must be yes or no, got "1"');
    expect(() => readParameters("?tune=")).toThrow('tune in the address must be yes or no, got ""');
  });
});

test("--where chrome prints and writes what it measured there, checked", async () => {
  const folder = await mkdtemp(path.join(os.tmpdir(), "webgpu-diffusers-page-"));
  try {
    const [json, html] = [path.join(folder, "results.jsonl"), path.join(folder, "report.html")];
    const args = ["--where", "chrome", "--quick", "--dtype", "float32", "--filter", "layer_norm"];
    const { code, stdout, stderr } = await runCLI(["bench", ...args, "--json", json, "--html", html]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toMatch(/^swiftshader.*Chrome\//i);
    expect(stdout).toMatch(/^layer_norm +\S+.* float32 /m);
    const lines = parseLines(await readFile(json, "utf8"), json);
    expect(lines.map(({ kind }) => kind)).toEqual(["roofline", "op"]);
    expect(lines[1]).toMatchObject({
      op: "layer_norm",
      status: "ok",
      run: { browser: expect.stringContaining("Chrome") as string },
    });
    expect((lines[1] as { ms: number }).ms).toBeGreaterThan(0);
    expect(await readFile(html, "utf8")).toContain("<td>layer_norm</td>");
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("Ctrl-C with --where chrome is heard here, and leaves no profile of Chrome", async () => {
  const folder = await mkdtemp(path.join(os.tmpdir(), "webgpu-diffusers-page-"));
  try {
    const args = ["bench", "--where", "chrome", "--quick", "--filter", "norm"];
    const env = { PUPPETEER_TMP_DIR: folder };
    const { code, stderr } = await runCLI(args, { env, interruptAt: /Chrome\// });
    expect({ code, stderr }).toEqual({ code: 130, stderr: "webgpu-diffusers: interrupted" });
    expect(await readdir(folder)).toEqual([]);
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("a Chrome that does not start is an error, not a wait", async () => {
  const env = { CHROME_PATH: "/nosuch", PUPPETEER_EXECUTABLE_PATH: "" };
  const { code, stderr } = await runCLI(["bench", "--where", "chrome"], { env });
  expect({ code, stderr }).toEqual({
    code: 1,
    stderr: expect.stringMatching(/Browser was not found.*\/nosuch/) as string,
  });
});

describe("in a browser, by hand", () => {
  let server: Awaited<ReturnType<typeof startStaticServer>>;
  let browser: Browser;
  let page: Page;
  beforeAll(async () => {
    server = await startStaticServer(await pageServer(fileURLToPath(new URL("../..", import.meta.url))));
    browser = await launchChrome();
    page = await browser.newPage();
    await page.goto(`${server.origin}${PAGE}?dtype=float32`);
    await page.waitForSelector("#start:not([disabled])");
  });
  afterAll(async () => {
    await browser.close();
    await server.close();
  });
  const status = (): Promise<string> => page.$eval("#status", ({ textContent }) => textContent);
  const runFor = async (filter: string): Promise<void> => {
    await page.$eval("[name=filter]", (input, text) => void ((input as HTMLInputElement).value = text), filter);
    await page.click("#start");
  };
  const finish = (): Promise<unknown> => page.waitForSelector("#start:not([disabled])", { timeout: 100_000 });

  test("Run measures what the form says, and Save JSON lines gives the results", async () => {
    await runFor("layer_norm");
    await finish();
    expect(await status()).toBe("Done; every result was right.");
    expect(new URL(page.url()).search).toBe("?quick=yes&dtype=float32&filter=layer_norm");
    const rows = await page.$$eval("#results td:first-child", (cells) => cells.map(({ textContent }) => textContent));
    expect(rows).toEqual(["layer_norm"]);
    const saved = await page.evaluate(
      () =>
        new Promise<string>((resolve) => {
          URL.createObjectURL = (blob) => {
            void (blob as Blob).text().then(resolve);
            return "data:,";
          };
          document.getElementById("json")!.click();
        }),
    );
    const lines = parseLines(saved, "saved");
    expect(lines.map(({ kind }) => kind)).toEqual(["roofline", "op"]);
    expect(lines[1]).toMatchObject({
      status: "ok",
      dtype: "float32",
      run: { quick: true, tune: false, software: true },
    });
  });

  test("what matches nothing is said", async () => {
    await runFor("nosuch");
    await finish();
    expect(await status()).toBe('Failed: --filter: no op contains "nosuch"');
  });

  test("Stop stops", async () => {
    await runFor("norm");
    await page.click("#stop");
    await finish();
    expect(await status()).toBe("Stopped.");
  });
});
