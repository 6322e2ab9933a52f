// Bundles the benchmark suite into dist/bench: its own files and the float64 references of the tests in one, the library
// it measures beside it, in dist/src, as users have it. So `webgpu-diffusers bench` is the same in a clone and installed.
import { build } from "esbuild";
import path from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));

/** Imports of src/ and kernels/ stay imports, of the files that tsc has made of them. */
const library = {
  name: "library",
  setup({ onResolve }) {
    onResolve({ filter: /^\.\.?\// }, ({ path: target, resolveDir }) => {
      const file = path.relative(root, path.join(resolveDir, target)).split(path.sep).join("/");
      return /^(?:src|kernels)\//.test(file) ? { path: `../${file}`, external: true } : undefined;
    });
  },
};

await build({
  absWorkingDir: root,
  entryPoints: { main: "bench/main.ts", page: "bench/page/page.ts" },
  outdir: "dist/bench",
  bundle: true,
  splitting: true,
  packages: "external",
  plugins: [library],
  format: "esm",
  platform: "node",
  target: "node20",
  logLevel: "warning",
});
