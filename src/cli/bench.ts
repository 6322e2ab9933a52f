import { createRequire } from "node:module";
import path from "node:path";

/** What scripts/bundle_bench.mjs makes of bench/main.ts. @param root the package's folder */
type Suite = { bench: (args: string[], root: string, signal: AbortSignal) => Promise<void> };

/** `webgpu-diffusers bench`: the suite of bench/, which the build puts beside the library. */
export async function bench(args: string[], signal: AbortSignal): Promise<void> {
  const root = path.dirname(createRequire(import.meta.url).resolve("webgpu-diffusers/package.json"));
  const suite = (await import(new URL("../../bench/main.js", import.meta.url).href)) as Suite;
  await suite.bench(args, root, signal);
}
