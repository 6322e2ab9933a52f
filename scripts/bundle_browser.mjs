// The library as one file for browsers without a bundler, module workers and CDNs: import maps do not reach workers, and a few
// hundred files take a page longer than one.
import { build } from "esbuild";
import { fileURLToPath } from "node:url";

await build({
  absWorkingDir: fileURLToPath(new URL("..", import.meta.url)),
  entryPoints: ["dist/src/index.js"],
  // As deep as dist/src/loader, from where EMBEDDED_MODEL's files have their addresses.
  outfile: "dist/bundle/browser/webgpu-diffusers.js",
  bundle: true,
  minify: true,
  format: "esm",
  platform: "browser",
  target: "es2022",
  logLevel: "warning",
});
