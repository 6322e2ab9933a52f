// The page's entry: runs every shared test file one after another and reports to test/browser/run_page.ts.
import { files } from "shared-tests";
import { runFile, type Result } from "./vitest_stub.js";

declare global {
  // Made by puppeteer's exposeFunction.
  function reportToNode(message: PageMessage): Promise<void>;
}

export type PageMessage =
  | { type: "adapter"; text: string }
  | { type: "start"; name: string }
  | { type: "result"; result: Result }
  | { type: "end" }
  | { type: "broken"; text: string };

async function main(): Promise<void> {
  if (!isSecureContext) throw new Error("the page is no secure context, so it has no WebGPU");
  const adapter = await navigator.gpu?.requestAdapter();
  if (!adapter) throw new Error("navigator.gpu gives no adapter in this browser");
  const { vendor, architecture, description } = adapter.info;
  await reportToNode({ type: "adapter", text: `${vendor} ${architecture} ${description}`.trim() });
  for (const [file, load] of files)
    await runFile(
      file,
      load,
      (result) => reportToNode({ type: "result", result }),
      (name) => reportToNode({ type: "start", name }),
    );
}

main().then(
  () => reportToNode({ type: "end" }),
  (error: unknown) => reportToNode({ type: "broken", text: String(error) }),
);
