// The true loss of a GPU: Chrome's GPU process, on which all its pages' devices depend, is ended.
import type { Browser } from "puppeteer";

/** Without them Chrome gives a page whose GPU process crashed twice no adapter any more. */
export const ANY_NUMBER_OF_CRASHES = ["--disable-gpu-process-crash-limit", "--disable-domain-blocking-for-3d-apis"];

/** Crashes the GPU process, and resolves when it is gone; a new one may run by then. Pages hear of it a little later. */
export async function endGPU(browser: Browser): Promise<void> {
  const session = await browser.target().createCDPSession();
  try {
    const running = async (): Promise<number[]> => {
      const { processInfo } = await session.send("SystemInfo.getProcessInfo");
      return processInfo.filter(({ type }) => type === "GPU").map(({ id }) => id);
    };
    const before = await running();
    if (before.length === 0) throw new Error("Chrome has no GPU process");
    // It is answered once the order is given, or else with the loss of the process itself.
    await session.send("Browser.crashGpuProcess");
    while ((await running()).some((id) => before.includes(id))) await new Promise((wait) => setTimeout(wait, 5));
  } finally {
    await session.detach();
  }
}
