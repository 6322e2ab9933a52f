// `npm run bench`: bundles this folder with the library's sources, for Node and for a page in Chrome, and runs it.
import { existsSync } from "node:fs";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "esbuild";

const folder = fileURLToPath(new URL(".", import.meta.url));
const root = path.join(folder, "..", "..");
const modules = path.join(folder, "node_modules");
if (!existsSync(path.join(modules, "onnxruntime-web"))) {
  console.error("webgpu-diffusers: the other libraries are not installed; in bench/peers: npm ci");
  process.exit(1);
}
const outfile = path.join(modules, ".cache", "webgpu-diffusers", "bench.mjs");
const shared = {
  bundle: true,
  format: "esm",
  mainFields: ["module", "main"], // tfjs: one copy of each of its packages, and with names
  logLevel: "error",
};
await build({
  ...shared,
  entryPoints: [path.join(folder, "places.ts")],
  outfile,
  external: ["webgpu", "puppeteer", "@sparticuz/chromium", "onnxruntime-web"],
  platform: "node",
  target: "node20",
  sourcemap: "inline",
  // tfjs requires "util".
  banner: {
    js: 'import { createRequire as requireFrom } from "node:module"; const require = requireFrom(import.meta.url);',
  },
});
const page = async () => {
  const { outputFiles } = await build({
    ...shared,
    entryPoints: [path.join(folder, "page.ts")],
    outdir: "/bench/peers",
    splitting: true,
    external: ["node:*", "webgpu", "@sparticuz/chromium"],
    platform: "browser",
    target: "chrome140",
    write: false,
  });
  return new Map(outputFiles.map((file) => [`/bench/peers/${path.basename(file.path)}`, file.contents]));
};
const { runPeers } = await import(pathToFileURL(outfile).href);
await runPeers(process.argv.slice(2), root, page);
