// Bundles a TypeScript program with the library's sources beside it, and runs its `main(args, root)`.
import { build } from "esbuild";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));

/** @param {string} entry from the repository's folder @param {string} name of the bundle */
export async function runBundled(entry, name) {
  const outfile = path.join(root, "node_modules", ".cache", "webgpu-diffusers", name);
  await build({
    entryPoints: [path.join(root, entry)],
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
}
