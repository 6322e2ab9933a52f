import { inChrome } from "./chrome_place.js";
import { main } from "./main.js";
import { inNode } from "./node_place.js";

/** @param page bundles page.ts: URL path -> contents */
export const runPeers = (
  args: string[],
  root: string,
  page: () => Promise<ReadonlyMap<string, Uint8Array>>,
): Promise<void> =>
  main(args, root, {
    node: inNode,
    chrome: async (...all) => inChrome(root, await page())(...all),
  });
