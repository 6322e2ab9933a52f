// What bundlers make of the sources by package.json's "sideEffects": too little is an error in a page, too much a slow one.
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build as esbuild } from "esbuild";
import { build as vite, type Rollup } from "vite";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const SOURCE = JSON.stringify(path.join(ROOT, "src/index.ts"));
const LOADS = `export { DiffusionPipeline } from ${SOURCE};`;
const ONE_CLASS = `export { DDPMPipeline } from ${SOURCE};`;
const STEPS = `import { EulerDiscreteScheduler } from ${SOURCE}; console.log(new EulerDiscreteScheduler());`;

let folder: string;
beforeAll(async () => {
  const cache = path.join(ROOT, "node_modules/.cache"); // from where the packages are found
  await mkdir(cache, { recursive: true });
  folder = await mkdtemp(path.join(cache, "bundlers-"));
});
afterAll(() => rm(folder, { recursive: true }));

/** The entry's code; what is loaded later lies in the folder. */
async function byVite(entry: string): Promise<string> {
  const made = (await vite({
    root: ROOT,
    configFile: false,
    logLevel: "error",
    build: { write: false, minify: false, lib: { entry, formats: ["es"] }, rollupOptions: { external: ["webgpu"] } },
  })) as Rollup.RollupOutput[];
  const [main, ...rest] = made[0].output;
  for (const part of rest)
    await writeFile(path.join(folder, part.fileName), part.type === "chunk" ? part.code : part.source);
  return main.code;
}

async function byEsbuild(entry: string): Promise<string> {
  const made = await esbuild({
    entryPoints: [entry],
    bundle: true,
    format: "esm",
    logLevel: "error",
    packages: "external",
    write: false,
  });
  return made.outputFiles[0].text;
}

describe.each([
  ["vite", byVite],
  ["esbuild", byEsbuild],
])("%s", (name, bundle) => {
  const made = async (program: string): Promise<{ code: string; file: string }> => {
    const entry = path.join(folder, `${name}.js`);
    await writeFile(entry, program);
    const code = await bundle(entry);
    const file = path.join(folder, `${name}.mjs`);
    await writeFile(file, code);
    return { code, file };
  };

  test("keeps the pipelines and schedulers that only files name", async () => {
    const { DiffusionPipeline } = (await import(pathToFileURL((await made(LOADS)).file).href)) as {
      DiffusionPipeline: { fromPretrained(source: object): Promise<never> };
    };
    const index = {
      _class_name: "StableDiffusionPipeline",
      scheduler: ["diffusers", "DDIMScheduler"],
      vae: ["x", "No"],
    };
    const bytes = new TextEncoder().encode(JSON.stringify(index));
    const file = { path: "model_index.json", size: bytes.length, read: async () => bytes };
    const repository = { name: "test", open: async (name: string) => (name === file.path ? file : null) };
    // It comes as far as the class that nobody knows.
    await expect(DiffusionPipeline.fromPretrained(repository)).rejects.toThrow(/vae is a x\.No/);
  });

  test("leaves out the pipelines that a program with one class does not name", async () => {
    expect((await made(LOADS)).code).toContain('"StableDiffusionPipeline"');
    const { code } = await made(ONE_CLASS);
    expect(code).toContain('"DDPMPipeline"');
    expect(code).not.toContain('"StableDiffusionPipeline"');
  });

  test("leaves out the embedded model where a program does not name it", async () => {
    expect((await made(LOADS)).code).not.toContain("models/shapes/");
    expect((await made(`export { EMBEDDED_MODEL } from ${SOURCE};`)).code).toContain("models/shapes/");
  });

  test("leaves out the models where a scheduler is all that is wanted", async () => {
    const { code } = await made(STEPS);
    expect(code).toContain("EulerDiscreteScheduler");
    expect(code).not.toContain("class UNet2DConditionModel");
  });
});
