/** A page of a static server in headless Chrome, on SwiftShader, that tells Node what it finds. */
import type { Browser, Page } from "puppeteer";
import { startStaticServer, type StaticServerOptions } from "../scripts/static_server.mjs";
import { launchChrome } from "../test/browser/chromium.js";
import type { PageEnd } from "./page/messages.js";

export interface ChromeOptions<M> {
  server: StaticServerOptions;
  /** Opens the page and starts its work. */
  open: (page: Page, origin: string) => Promise<unknown>;
  /** Hears all messages but the last. @param browser its name and version */
  hear: (message: M, browser: string) => void;
  signal?: AbortSignal;
}

/** @throws Error that the page ends with, or that says how it crashed; the signal's reason */
export async function runInChrome<M extends { type: string }>(options: ChromeOptions<M>): Promise<void> {
  const server = await startStaticServer(options.server);
  try {
    // Who gives a signal hears Ctrl-C, and has results to save.
    const browser = await launchChrome({ handleSIGINT: options.signal === undefined });
    try {
      await runPage(browser, server.origin, options);
    } finally {
      await browser.close().catch(() => undefined);
    }
  } finally {
    await server.close();
  }
}

async function runPage<M extends { type: string }>(
  browser: Browser,
  origin: string,
  { open, hear, signal }: ChromeOptions<M>,
): Promise<void> {
  const version = await browser.version();
  const page = await browser.newPage();
  signal?.throwIfAborted(); // while Chrome started nobody listened
  await new Promise<void>((resolve, reject) => {
    const receive = (message: M | PageEnd): void => {
      if (!isEnd(message)) hear(message, version);
      else if (message.error === undefined) resolve();
      else reject(new Error(`in Chrome: ${message.error}`));
    };
    signal?.addEventListener("abort", () => reject(signal.reason as Error));
    browser.on("disconnected", () => reject(new Error("Chrome has exited")));
    page.on("error", (error) => reject(new Error(`the page has crashed: ${error.message}`)));
    page.on("pageerror", (error) => reject(error instanceof Error ? error : new Error(String(error))));
    page
      .exposeFunction("tellNode", receive)
      .then(() => open(page, origin))
      .catch(reject);
  });
}

const isEnd = (message: { type: string }): message is PageEnd => message.type === "end";
