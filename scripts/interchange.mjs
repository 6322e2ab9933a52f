// `node scripts/interchange.mjs PYTHON`: what this library saves and caches, Python's diffusers, transformers and
// huggingface_hub load with equal tensors, and the other way round. PYTHON is an interpreter that has them, such as that of
//   python3 -m venv /tmp/venv && /tmp/venv/bin/pip install torch diffusers transformers safetensors
import { build } from "esbuild";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const outfile = path.join(root, "node_modules", ".cache", "webgpu-diffusers", "interchange.mjs");
await build({
  entryPoints: [path.join(root, "test", "interchange", "main_node.ts")],
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
