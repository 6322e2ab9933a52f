/** All libraries in a page; Node calls `comparePeers` there and hears of the results. */
import { comparePeers } from "./compare.js";
import type { Begun, Given } from "./main.js";
import { begunOf, sourcesOf } from "./sources.js";
import type { PeerResult } from "../results.js";

export type PageMessage =
  { type: "begin"; begun: Begun } | { type: "result"; result: PeerResult } | { type: "end"; error?: string };

declare global {
  /** Node's ear. */
  function tellNode(message: PageMessage): Promise<void>;
  function runInPage(given: Given, wasmPaths: string): void;
}

globalThis.runInPage = (given, wasmPaths) => {
  run(given, wasmPaths).then(
    () => tellNode({ type: "end" }),
    (error: unknown) => tellNode({ type: "end", error: error instanceof Error ? error.message : String(error) }),
  );
};

async function run({ versions, ...given }: Given, wasmPaths: string): Promise<void> {
  const { gpu } = navigator;
  const tell = (message: PageMessage): void => void tellNode(message);
  await comparePeers(sourcesOf(gpu, versions, wasmPaths), {
    ...given,
    begin: (...all) => tell({ type: "begin", begun: begunOf(...all) }),
    emit: (result) => tell({ type: "result", result }),
  });
}
