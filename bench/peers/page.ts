/** All libraries in a page; Node calls `comparePeers` there and hears of the results. */
import { endOf, tell, type PageEnd } from "../page/messages.js";
import type { PeerResult } from "../results.js";
import { comparePeers } from "./compare.js";
import type { Begun, Given } from "./main.js";
import { chosen } from "./library.js";
import { begunOf, sourcesOf } from "./sources.js";

export type PageMessage = { type: "begin"; begun: Begun } | { type: "result"; result: PeerResult } | PageEnd;

declare global {
  function runInPage(given: Given, wasmPaths: string): void;
}

globalThis.runInPage = (given, wasmPaths) => void endOf(run(given, wasmPaths)).then(tell<PageMessage>);

async function run({ versions, only, ...given }: Given, wasmPaths: string): Promise<void> {
  const { gpu } = navigator;
  await comparePeers(chosen(sourcesOf(gpu, versions, wasmPaths), only), {
    ...given,
    begin: (...all) => tell<PageMessage>({ type: "begin", begun: begunOf(...all) }),
    emit: (result) => tell<PageMessage>({ type: "result", result }),
  });
}
