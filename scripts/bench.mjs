// `npm run bench`: bundles bench/ with the library's sources beside it and runs it. Benchmarks are no part of dist.
import { build } from "esbuild";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const outfile = path.join(root, "node_modules", ".cache", "webgpu-diffusers", "bench.mjs");
await build({
  entryPoints: [path.join(root, "bench", "main.ts")],
  outfile,
  bundle: true,
  packages: "external",
  format: "esm",
  platform: "node",
  target: "node20",
  sourcemap: "inline",
  logLevel: "warning",
});
const { main } = await import(pathToFileURL(outfile).href);
await main(process.argv.slice(2), root);
