/** All libraries in headless Chrome, on SwiftShader. */
import { startStaticServer } from "../../scripts/static_server.mjs";
import { launchChrome } from "../../test/chrome/chromium.js";
import type { Place } from "./main.js";
import type { PageMessage } from "./page.js";

const PAGE = "/bench/peers/page.html";
const WASM = "/bench/peers/node_modules/onnxruntime-web/dist/";

/** @param bundle of page.ts: URL path -> contents */
export const inChrome =
  (root: string, bundle: ReadonlyMap<string, Uint8Array>): Place =>
  async (given, begin, emit) => {
    const html = `<!doctype html><script type="module" src="/bench/peers/page.js"></script>`;
    const virtual = new Map<string, string | Uint8Array>([...bundle, [PAGE, html]]);
    const server = await startStaticServer({ root, virtual });
    const browser = await launchChrome();
    try {
      const version = await browser.version();
      const page = await browser.newPage();
      await new Promise<void>((resolve, reject) => {
        const receive = (message: PageMessage): void => {
          if (message.type === "begin") begin({ ...message.begun, browser: version });
          else if (message.type === "result") emit(message.result);
          else if (message.error === undefined) resolve();
          else reject(new Error(`in Chrome: ${message.error}`));
        };
        browser.on("disconnected", () => reject(new Error("Chrome has exited")));
        page.on("error", (error) => reject(new Error(`the page has crashed: ${error.message}`)));
        page.on("pageerror", (error) => reject(error instanceof Error ? error : new Error(String(error))));
        page
          .exposeFunction("tellNode", receive)
          .then(() => page.goto(`${server.origin}${PAGE}`))
          .then(() => page.evaluate((...all) => runInPage(...all), given, `${server.origin}${WASM}`))
          .catch(reject);
      });
    } finally {
      await browser.close().catch(() => undefined);
      await server.close();
    }
  };
