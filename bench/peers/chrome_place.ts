/** All libraries in headless Chrome, on SwiftShader. */
import { runInChrome } from "../chrome.js";
import type { PageEnd } from "../page/messages.js";
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
    await runInChrome<Exclude<PageMessage, PageEnd>>({
      server: { root, virtual },
      async open(page, origin) {
        await page.goto(`${origin}${PAGE}`);
        await page.evaluate((...all) => runInPage(...all), given, `${origin}${WASM}`);
      },
      hear(message, browser) {
        if (message.type === "begin") begin({ ...message.begun, browser });
        else emit(message.result);
      },
    });
  };
