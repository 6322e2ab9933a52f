// Runs shared tests in a headless browser and collects the results.
import { fileURLToPath } from "node:url";
import { startStaticServer } from "../../scripts/static_server.mjs";
import { bundleTests, sharedTests } from "./bundle.js";
import type { Browser } from "puppeteer";
import type { PageMessage } from "./main.js";
import type { Result } from "./vitest_stub.js";

/** SwiftShader is slow, but a page that says nothing for this long (one test, or one import) hangs. */
const SILENCE_LIMIT = 1_500_000;

/**
 * The results of tests in a browser, in order. What goes wrong after it has started, such as a crash or a hanging page, is one
 * more failed result.
 * @param tests paths in the repository; all shared ones by default
 * @throws Error when the bundle cannot be built or the browser does not start
 */
export async function runInBrowser(launch: () => Promise<Browser>, tests?: string[]): Promise<Result[]> {
  const root = fileURLToPath(new URL("../..", import.meta.url));
  const virtual = await bundleTests(root, tests ?? sharedTests(root));
  const server = await startStaticServer({ root, virtual });
  try {
    const browser = await launch();
    try {
      return await collect(browser, `${server.origin}/test/browser/index.html`);
    } finally {
      await browser.close().catch(() => undefined);
    }
  } finally {
    await server.close();
  }
}

async function collect(browser: Browser, url: string): Promise<Result[]> {
  const results: Result[] = [];
  const version = await browser.version();
  let running = "the page's start";
  const fail = (text: string): void => {
    console.error(`[${version}] ${running}: ${text}`);
    results.push({ name: `${version}, during ${running}`, state: "failed", text, milliseconds: 0 });
  };
  const page = await browser.newPage();
  await new Promise<void>((resolve) => {
    let timer: NodeJS.Timeout | undefined;
    let over = false;
    const end = (text?: string): void => {
      if (over) return;
      over = true;
      clearTimeout(timer);
      if (text) fail(text);
      resolve();
    };
    const alive = (): void => {
      clearTimeout(timer);
      timer = setTimeout(() => end(`no sign of life for ${SILENCE_LIMIT / 1000} s`), SILENCE_LIMIT);
    };
    const receive = (message: PageMessage): void => {
      alive();
      if (message.type === "adapter") console.log(`[${version}] adapter: ${message.text}`);
      else if (message.type === "start") running = message.name;
      else if (message.type === "result") {
        results.push(message.result);
        if (message.result.state === "failed") console.error(`[${version}] failed: ${message.result.name}`);
      } else end(message.type === "broken" ? message.text : undefined);
    };
    browser.on("disconnected", () => end("the browser has exited"));
    page.on("error", (error) => end(`the page has crashed: ${error.message}`));
    page.on("pageerror", (error) =>
      fail(`error outside a test: ${error instanceof Error ? error.stack : String(error)}`),
    );
    page.on("console", (message) => {
      // A test may ask for a file that is not there; a missing script fails its import.
      const expected = message.text().startsWith("Failed to load resource");
      if (message.type() === "error" && !expected) console.error(`[${version}] ${running}: ${message.text()}`);
    });
    alive();
    page
      .exposeFunction("reportToNode", receive)
      .then(() => page.goto(url, { timeout: 120_000 }))
      .catch((error: unknown) => end(String(error)));
  });
  return results;
}
