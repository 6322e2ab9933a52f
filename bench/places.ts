/** Where the suite runs: in Node on Dawn, or in headless Chrome, in the page that anyone can open. */
import os from "node:os";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { releaseNodeGPU, requestNodeGPU } from "../src/tensor/gpu_node.js";
import type { PageEnd, PageMessage } from "./page/messages.js";
import { dtypesOf, writeParameters, type Asked } from "./page/parameters.js";
import { PAGE, pageServer } from "./page/serve.js";
import type { Result, RunInfo } from "./results.js";
import { runSuite } from "./run.js";
import { deviceInfo } from "./run_info.js";

export interface PlaceOptions extends Asked {
  /** The package's folder. */
  root: string;
  version: string;
  realSize?: string;
  signal: AbortSignal;
  begin: (run: RunInfo) => void;
  emit: (result: Result) => void;
}

export type Place = (options: PlaceOptions) => Promise<void>;

/** This machine, as far as a browser on it does not tell. */
const machine = (): Pick<RunInfo, "platform" | "cpu" | "loadAverage"> => ({
  platform: `${process.platform}-${process.arch}`,
  cpu: `${os.cpus().length} x ${os.cpus()[0]?.model.trim()}`,
  loadAverage: os.loadavg()[0],
});

export const inNode: Place = async ({ root, version, begin, ...options }) => {
  const here = { date: new Date().toISOString(), version, node: process.version, ...machine() };
  try {
    const gpu = await requestNodeGPU();
    await runSuite({
      ...options,
      dtypes: dtypesOf(options),
      model: pathToFileURL(path.join(root, "models/shapes/")).href,
      adapter: async () => (await gpu.requestAdapter({ powerPreference: "high-performance" }))!,
      begin: (timer) => begin({ ...here, ...deviceInfo(timer, options) }),
    });
  } finally {
    releaseNodeGPU();
  }
};

export const inChrome: Place = async ({ root, begin, emit, signal, ...asked }) => {
  const { runInChrome } = await chromeModule();
  const here = machine();
  await runInChrome<Exclude<PageMessage, PageEnd>>({
    server: await pageServer(root),
    open: (page, origin) => page.goto(`${origin}${PAGE}${writeParameters(asked, true)}`),
    hear(message, browser) {
      if (message.type === "begin") begin({ ...message.run, ...here, browser });
      else emit(message.result);
    },
    signal,
  });
};

async function chromeModule(): Promise<typeof import("./chrome.js")> {
  try {
    return await import("./chrome.js");
  } catch (cause) {
    throw new Error(
      "bench: --where chrome needs a browser: npm install puppeteer, " +
        "and on Linux x64 @sparticuz/chromium@147.0.0 or a Chrome of your own; or open the page of --serve",
      { cause },
    );
  }
}
