// The rules of ARCHITECTURE.md that no compiler checks: imports follow the layers, files stay small, no test is left out.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const MAX_LINES = 500;

/** Layer -> the layers it may import from, besides itself. */
const LAYERS: Record<string, string[]> = {
  kernels: [],
  "src/arguments": [],
  "src/loader": ["src/arguments"],
  "src/tensor": ["kernels", "src/arguments"],
  "src/nn": ["src/arguments", "src/tensor", "src/loader"],
  "src/schedulers": ["src/arguments", "src/tensor", "src/loader"],
  "src/pipelines": ["src/arguments", "src/tensor", "src/nn", "src/schedulers", "src/loader"],
  // src/index.ts and its neighbours: the public names
  src: ["src/arguments", "src/tensor", "src/nn", "src/schedulers", "src/loader", "src/pipelines"],
  "src/cli": ["src", "src/arguments", "src/tensor", "src/nn", "src/schedulers", "src/loader", "src/pipelines"],
};

interface Import {
  file: string;
  target: string;
  /** False for `import("…")`, which runs later, and for `import type`, which never does. */
  atStart: boolean;
}

const FILES = ["kernels", "src", "test", "bench", "scripts", "examples"].flatMap(sourceFiles);
const LIBRARY = FILES.filter((file) => file.startsWith("kernels/") || file.startsWith("src/"));
const IMPORTS = LIBRARY.flatMap(importsOf);

test("there are sources and imports to look at", () => {
  expect(LIBRARY.length).toBeGreaterThan(5);
  expect(IMPORTS.length).toBeGreaterThan(5);
});

test("imports follow the layers", () => {
  const wrong: string[] = [];
  for (const { file, target } of IMPORTS) {
    if (!target.startsWith(".")) continue;
    const [from, to] = [layerOf(file), layerOf(path.posix.join(path.posix.dirname(file), target))];
    if (!from || !to || (from !== to && !LAYERS[from].includes(to))) wrong.push(`${file} imports ${target}`);
  }
  expect(wrong).toEqual([]);
});

test("node: modules are imported by *_node.ts and src/cli only, and those only later or from each other", () => {
  const forNode = (file: string): boolean => /_node\.[jt]s$/.test(file) || file.startsWith("src/cli/");
  const wrong = IMPORTS.filter(
    ({ file, target, atStart }) => !forNode(file) && (target.startsWith("node:") || (forNode(target) && atStart)),
  );
  expect(wrong.map(({ file, target }) => `${file} imports ${target}`)).toEqual([]);
});

test("bundlers for browsers are told to leave out each *_node.ts that is imported elsewhere", () => {
  const { browser } = JSON.parse(textOf("package.json")) as { browser: Record<string, unknown> };
  const forNode = IMPORTS.filter(
    ({ file, target }) => /_node\.js$/.test(target) && !/_node\.ts$|^src\/cli\//.test(file),
  );
  const files = forNode.map(({ file, target }) => `./dist/${path.posix.join(path.posix.dirname(file), target)}`);
  expect(browser).toEqual(Object.fromEntries(files.map((file) => [file, false])));
});

test("each of these packages is imported in one place", () => {
  const places: [RegExp, string[]][] = [
    [/^wgsl-preprocessor/, ["kernels/wgsl.ts"]],
    [/^webgpu$/, ["src/tensor/gpu_node.ts"]],
  ];
  for (const [name, allowed] of places) {
    const users = IMPORTS.filter(({ target }) => name.test(target)).map(({ file }) => file);
    expect(new Set(users)).toEqual(new Set(allowed));
  }
});

test("one allocator makes buffers, and one file asks navigator for its GPU", () => {
  const users = (pattern: RegExp): string[] => LIBRARY.filter((file) => pattern.test(codeOf(file)));
  expect(users(/\.createBuffer\b/)).toEqual(["src/tensor/memory.ts"]);
  expect(users(/navigator\??\.gpu\b/)).toEqual(["src/tensor/adapters.ts"]);
  // A model has a method of that name, as in Python.
  expect(users(/\beval\((?!\): this)|new Function\(/)).toEqual([]);
});

test(`no file has more than ${MAX_LINES} lines`, () => {
  const lines = (file: string): number => textOf(file).split("\n").length - 1;
  expect(FILES.filter((file) => lines(file) > MAX_LINES)).toEqual([]);
});

test("no test is skipped for good, alone, or still to do", () => {
  const left = /\b(?:describe|suite|test|it|bench)\s*\.\s*(?:skip|only|todo|fails|runIf)/;
  expect(FILES.filter((file) => left.test(textOf(file)))).toEqual([]);
});

function sourceFiles(folder: string): string[] {
  if (!existsSync(path.join(ROOT, folder))) return [];
  return readdirSync(path.join(ROOT, folder), { recursive: true, encoding: "utf8" })
    .map((name) => `${folder}/${name.split(path.sep).join("/")}`)
    .filter((name) => /\.(?:ts|mts|js|mjs)$/.test(name) && !name.startsWith("test/fixtures/"))
    .filter((name) => !name.includes("/node_modules/")); // bench/peers has its own
}

function textOf(file: string): string {
  return readFileSync(path.join(ROOT, file), "utf8");
}

/** The text without comments. Good enough here: strings that hold comment marks lose their end. */
function codeOf(file: string): string {
  return textOf(file).replace(/\/\*[\s\S]*?\*\/|(?<!:)\/\/.*$/gm, "");
}

function importsOf(file: string): Import[] {
  const found: Import[] = [];
  const text = codeOf(file);
  for (const [, type, target] of text.matchAll(/^\s*(?:import|export)\s+(type\s)?(?:[^"';]*?\sfrom\s+)?"([^"]+)"/gm))
    found.push({ file, target, atStart: type === undefined });
  for (const [, target] of text.matchAll(/\bimport\(\s*"([^"]+)"\s*\)/g)) found.push({ file, target, atStart: false });
  return found;
}

function layerOf(file: string): string | undefined {
  return Object.keys(LAYERS)
    .filter((layer) => file.startsWith(`${layer}/`))
    .sort((a, b) => b.length - a.length)[0];
}
