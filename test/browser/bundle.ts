// Bundles what runs in a page with esbuild, in memory: the shared tests, or a script of one test's own.
import { readdirSync } from "node:fs";
import path from "node:path";
import { build, type BuildOptions, type Plugin } from "esbuild";

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
export function bundleTests(root: string, tests: string[]): Promise<Map<string, Uint8Array>> {
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
  return bundle(root, {
    entryPoints: { main: "test/browser/main.ts" },
    alias: { vitest: path.join(root, "test/browser/vitest_stub.ts") },
    plugins: [list],
  });
}

/** The address of the page that `bundlePage` makes. */
export const PAGE = "/page.html";

/** A page that runs a script of the repository, and nothing else; URL path -> contents. */
export async function bundlePage(root: string, script: string): Promise<Map<string, string | Uint8Array>> {
  const files = await bundle(root, { entryPoints: { page: script } });
  const html = `<!doctype html><link rel="icon" href="data:," /><script type="module" src="${SERVED_FROM}page.js"></script>`;
  return new Map<string, string | Uint8Array>([...files, [PAGE, html]]);
}

async function bundle(root: string, { alias, ...options }: BuildOptions): Promise<Map<string, Uint8Array>> {
  const { outputFiles } = await build({
    ...options,
    absWorkingDir: root,
    outdir: "/bundle",
    bundle: true,
    format: "esm",
    platform: "browser",
    target: "chrome140",
    splitting: true, // keeps every *_node.ts, reached by import() only, in a chunk that the page never fetches
    external: ["node:*", "webgpu", "@sparticuz/chromium"],
    alias: {
      ...alias,
      // Its exports have no "browser" condition, so esbuild would take the build for Node.
      "@huggingface/hub": path.join(root, "node_modules/@huggingface/hub/dist/browser/index.mjs"),
    },
    keepNames: true,
    write: false,
    logLevel: "error",
  });
  return new Map(outputFiles.map((file) => [SERVED_FROM + path.basename(file.path), file.contents]));
}
