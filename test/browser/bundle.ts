// Bundles the shared tests with esbuild for the page in a browser, in memory.
import { readdirSync } from "node:fs";
import path from "node:path";
import { build, type Plugin } from "esbuild";

const FOLDERS = ["arguments", "tensor", "kernels", "nn", "schedulers", "pipelines", "loader"];

// src/loader/embedded.ts finds models/ three folders above its own URL, which is here that of the bundle's files.
const SERVED_FROM = "/dist/src/browser/";

/** The test files that run in Node and in browsers, as paths in the repository. */
export function sharedTests(root: string): string[] {
  const tests: string[] = [];
  for (const folder of FOLDERS) {
    let names: string[];
    try {
      names = readdirSync(path.join(root, "test", folder), { recursive: true, encoding: "utf8" });
    } catch {
      continue; // a folder without tests yet
    }
    for (const name of names)
      if (name.endsWith(".test.ts") && !name.endsWith(".node.test.ts"))
        tests.push(`test/${folder}/${name.split(path.sep).join("/")}`);
  }
  return tests.sort();
}

/** Bundles `tests` with the page's entry; URL path -> contents. */
export async function bundleTests(root: string, tests: string[]): Promise<Map<string, Uint8Array>> {
  const list: Plugin = {
    name: "shared-tests",
    setup(setup) {
      setup.onResolve({ filter: /^shared-tests$/ }, () => ({ path: "shared-tests", namespace: "shared-tests" }));
      setup.onLoad({ filter: /.*/, namespace: "shared-tests" }, () => {
        const entries = tests.map((file) => `[${JSON.stringify(file)}, () => import(${JSON.stringify(`./${file}`)})]`);
        return { contents: `export const files = [${entries.join(",\n")}];`, resolveDir: root };
      });
    },
  };
  const { outputFiles } = await build({
    absWorkingDir: root,
    entryPoints: { main: "test/browser/main.ts" },
    outdir: "/bundle",
    bundle: true,
    format: "esm",
    platform: "browser",
    target: "chrome140",
    splitting: true, // keeps every *_node.ts, reached by import() only, in a chunk that the page never fetches
    external: ["node:*", "webgpu", "@sparticuz/chromium"],
    alias: {
      vitest: path.join(root, "test/browser/vitest_stub.ts"),
      // Its exports have no "browser" condition, so esbuild would take the build for Node.
      "@huggingface/hub": path.join(root, "node_modules/@huggingface/hub/dist/browser/index.mjs"),
    },
    plugins: [list],
    keepNames: true,
    write: false,
    logLevel: "error",
  });
  return new Map(outputFiles.map((file) => [SERVED_FROM + path.basename(file.path), file.contents]));
}
