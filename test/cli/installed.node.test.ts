// What npm publishes, unpacked in a folder of its own: no sources, no tests, no build scripts beside it.
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rename, rm, symlink, writeFile } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { gunzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parseLines } from "../../bench/results.js";
import { extractTar } from "../../src/tensor/software_adapter_node.js";
import { programsIn, snippetsIn } from "../support/guide_node.js";
import { runCLI } from "./run_cli.js";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const run = promisify(execFile);
/** What the snippets of docs/pipelines.md go on with. */
const GIVEN = `declare const pipeline: StableDiffusionPipeline, xl: StableDiffusionXLPipeline, controlnet: ControlNetModel, prompt: string;
declare const image: RawImage, maskImage: RawImage, edges: RawImage, small: RawImage, picture: RawImage;
`;
let folder: string;
let installed: string;

beforeAll(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), "webgpu-diffusers-installed-"));
  const npm = process.platform === "win32" ? "npm.cmd" : "npm";
  // As `npm pack` does it, but with what `npm test` has built.
  await run(npm, ["pack", "--ignore-scripts", "--pack-destination", folder], { cwd: ROOT });
  const archive = (await readdir(folder)).find((name) => name.endsWith(".tgz"))!;
  extractTar(gunzipSync(await readFile(path.join(folder, archive))), folder);
  installed = path.join(folder, "node_modules", "webgpu-diffusers");
  await mkdir(path.dirname(installed));
  await rename(path.join(folder, "package"), installed);
  type Manifest = Record<"dependencies" | "peerDependencies", Record<string, string>>;
  const manifest = JSON.parse(await readFile(path.join(installed, "package.json"), "utf8")) as Manifest;
  for (const name of Object.keys({ ...manifest.dependencies, ...manifest.peerDependencies })) {
    const link = path.join(folder, "node_modules", name);
    await mkdir(path.dirname(link), { recursive: true });
    await symlink(path.join(ROOT, "node_modules", name), link, "junction");
  }
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe("the installed package", () => {
  const main = (): string => path.join(installed, "dist", "src", "cli", "main.js");

  test("runs the benchmarks", async () => {
    const json = path.join(folder, "results.jsonl");
    const args = ["--quick", "--dtype", "float32", "--filter", "layer_norm", "--json", json];
    const { code, stdout, stderr } = await runCLI(["bench", ...args], { main: main(), cwd: folder });
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toMatch(/^layer_norm +\S+.* float32 /m);
    const ops = parseLines(await readFile(json, "utf8"), json).filter(({ kind }) => kind === "op");
    expect(ops).toMatchObject([{ op: "layer_norm", status: "ok" }]);
  });

  test("serves the benchmarks' page until Ctrl-C", async () => {
    const options = { main: main(), cwd: folder, env: { PORT: "0" }, interruptAfter: 1500 };
    const { code, stdout, stderr } = await runCLI(["bench", "--serve"], options);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toMatch(/^Open http:\/\/localhost:\d+\/bench\/ in a browser/);
  });

  /** What TypeScript says of programs beside the package. */
  async function compileErrors(files: Record<string, string>, more: object = {}): Promise<string> {
    const source = await mkdtemp(path.join(folder, "program-"));
    const compilerOptions = {
      target: "ES2022",
      module: "NodeNext",
      strict: true,
      noEmit: true,
      skipLibCheck: false,
      types: [],
      ...more,
    };
    files = { ...files, "package.json": '{ "type": "module" }', "tsconfig.json": JSON.stringify({ compilerOptions }) };
    for (const [name, text] of Object.entries(files)) await writeFile(path.join(source, name), text);
    const tsc = path.join(ROOT, "node_modules", "typescript", "bin", "tsc");
    const { stdout } = await run(process.execPath, [tsc, "-p", source]).catch((error: { stdout: string }) => error);
    return stdout;
  }

  test("the documents' programs compile, library types checked in full; calls with wrong options do not", async () => {
    const texts = ["README.md", "docs/guide.md", "docs/api.md"].map((name) => readFile(path.join(ROOT, name), "utf8"));
    const programs = (await Promise.all(texts)).flatMap(programsIn);
    expect(programs).toHaveLength(6);
    const snippets = snippetsIn(await readFile(path.join(ROOT, "docs/pipelines.md"), "utf8"), GIVEN);
    expect(snippets.length).toBeGreaterThan(10);
    const wrong = ["numInferenceStep: 3", 'outputType: "jpg"', "generator: 8", "signal: new AbortController()"];
    const errors = await compileErrors({
      ...Object.fromEntries(programs.map((text, i) => [`program${i}.ts`, text])),
      ...Object.fromEntries(snippets.map((text, i) => [`snippet${i}.ts`, text])),
      "calls.ts": `import { StableDiffusionPipeline } from "webgpu-diffusers";
const pipeline = await StableDiffusionPipeline.fromPretrained("folder");
await pipeline(["a", "b"], { outputType: "np", callbackOnStepEnd: (_, step, t) => void (step + t) }).then((y) => y.images.data());
export const info: GPUAdapterInfo = pipeline.device.adapterInfo;
${wrong.map((option) => `// @ts-expect-error\nawait pipeline("a", { ${option} });`).join("\n")}
// @ts-expect-error
await pipeline({ prompt: "a" });
`,
      "classes.ts": `import { EulerDiscreteScheduler, LMSDiscreteScheduler } from "webgpu-diffusers";
import { AutoencoderKL, FlaxDDIMScheduler, FlaxPNDMScheduler, UNet2DModel } from "webgpu-diffusers";
const made: (EulerDiscreteScheduler | LMSDiscreteScheduler)[] = [];
for (const Scheduler of [EulerDiscreteScheduler, LMSDiscreteScheduler]) {
  made.push(Scheduler.fromConfig({}), Scheduler.fromConfig({}, { use_karras_sigmas: true }), await Scheduler.fromPretrained("folder"));
  // @ts-expect-error
  Scheduler.fromConfig({}, { use_karras: true });
}
for (const Scheduler of [FlaxDDIMScheduler, FlaxPNDMScheduler]) (await Scheduler.fromPretrained("folder"))[0].createState();
const euler: EulerDiscreteScheduler = EulerDiscreteScheduler.fromConfig(made[0].config, { timestep_spacing: "trailing" });
export const [lms, unused]: [LMSDiscreteScheduler, object] = LMSDiscreteScheduler.fromConfig(euler.config, { returnUnusedKwargs: true });
// @ts-expect-error
EulerDiscreteScheduler.fromConfig({}, { order: 2 });
for (const Model of [AutoencoderKL, UNet2DModel]) {
  (await Model.fromPretrained("folder", { subfolder: "model", sample_size: 32 })).savePretrained("other");
  Model.fromConfig({}).numParameters();
}
const [unet, { missingKeys }] = await UNet2DModel.fromPretrained("folder", { outputLoadingInfo: true, center_input_sample: true });
export const sample = unet.forward(await Promise.reject(missingKeys), 1).sample;
// @ts-expect-error
await UNet2DModel.fromPretrained("folder", { latent_channels: 4 });
`,
      "components.ts": `import { AutoencoderTiny, DDPMPipeline, DiffusionPipeline, StableDiffusionPipeline } from "webgpu-diffusers";
const vae = await AutoencoderTiny.fromPretrained("tiny");
class Own extends StableDiffusionPipeline {}
const own: Own = await Own.fromPretrained("folder", { vae, safety_checker: null, requires_safety_checker: false, variant: "fp16" });
new StableDiffusionPipeline(own.components);
own.vae.enableTiling();
own.vae = vae;
// @ts-expect-error
own.vae = own.unet;
const loaded = await DiffusionPipeline.fromPretrained("folder", { anything: 1 });
await loaded("a prompt");
await DDPMPipeline.fromPipe(loaded, { unet: null })({ batchSize: 2 });
await DiffusionPipeline.fromPretrained<StableDiffusionPipeline>("folder").then((pipeline) => pipeline("a", { eta: 0 }));
// @ts-expect-error
await StableDiffusionPipeline.fromPretrained("folder", { varient: "fp16" });
// @ts-expect-error
await StableDiffusionPipeline.fromPretrained("folder", { unet: vae });
// @ts-expect-error
await DDPMPipeline.fromPretrained("folder", { vae });
// @ts-expect-error
Own.fromPipe(own, { anything: 1 });
`,
    });
    expect(errors).toBe("");
  });

  test("what a library says of its own types can be written down: every type in an answer has a name here", async () => {
    const declared = `import * as W from "webgpu-diffusers";
type SD = W.StableDiffusionPipeline;
export const load = () => W.DiffusionPipeline.fromPretrained("a/b");
export const flax = async () => [await W.FlaxStableDiffusionPipeline.fromPretrained("a"), await W.FlaxDDIMScheduler.fromPretrained("a")];
export const call = (p: SD) => [p("x"), p("x", { outputType: "np" }), p.encodePrompt("x"), p.tokenizer("x")];
export const image = (p: SD, image: ImageData) => W.StableDiffusionImg2ImgPipeline.fromPipe(p)("x", { image });
export const parts = (p: SD) => [p.components, p.config, p.scheduler, p.scheduler.compatibles, p.device.memoryUse, { ...p }];
export const configs = (p: SD) => [p.unet.config, p.vae.config, p.text_encoder.config];
export const forward = (p: SD, t: W.Tensor) => [p.unet.forward(t, 1, t), p.vae.encode(t), p.scheduler.step(t, 1, t)];
export const models = (a: W.UNet2DModel, b: W.ControlNetModel, c: W.AutoencoderTiny) => [a.config, b.config, b.forward, c.config];
export const loaded = () => W.UNet2DModel.fromPretrained("a", { outputLoadingInfo: true });
export const schedulers = () => [W.EulerDiscreteScheduler, W.DDIMScheduler].map((C) => [C.fromConfig({}), new C().config]);
export const solver = (s: W.DPMSolverMultistepScheduler, f: W.FlowMatchEulerDiscreteScheduler) => [s.config, f.config, s.setTimesteps];
export const rest = () => [W.estimateMemory("a"), W.tune(async () => {}), W.openRepository("a"), W.PRNGKey(0), new W.Generator()];
export const compared = (p: SD) => W.compareSchedulers(p, "x");
export const many = (p: W.FlaxParams) => W.replicate(p);
export class Own extends W.StableDiffusionPipeline {}
`;
    expect(await compileErrors({ "declared.ts": declared }, { noEmit: false, declaration: true, outDir: "out" })).toBe(
      "",
    );
  });

  // TypeScript from 6 on, which is not here, has WebGPU's types in lib.dom, and takes them twice for an error.
  test("has WebGPU's types once, whatever TypeScript reads it", async () => {
    const read = (file: string): Promise<string> => readFile(path.join(installed, file), "utf8");
    const { exports } = JSON.parse(await read("package.json")) as { exports: Record<string, Record<string, string>> };
    expect(Object.keys(exports["."])[0]).toBe("types@>=6");
    expect(await read(exports["."]["types@>=6"])).not.toContain("@webgpu/types");
    expect(await read(exports["."].types)).toContain("@webgpu/types");
  });

  test("its documents link to what it holds, and where they name what only a clone has they say so", async () => {
    const holds = (file: string): boolean => existsSync(path.join(installed, file));
    const wrong: string[] = [];
    const names = (await readdir(installed, { recursive: true })).filter((name) => name.endsWith(".md"));
    for (const name of names) {
      const text = (await readFile(path.join(installed, name), "utf8")).replace(/^```[^]*?^```/gm, "");
      const links = [...text.matchAll(/\]\((?!\w+:|#)([^)#]+)/g)].map(([, link]) => link);
      wrong.push(...links.filter((link) => !holds(path.join(path.dirname(name), link))));
      if (/^(?:bench|ARCHITECTURE)/.test(name)) continue; // about the repository as a whole
      for (const paragraph of text.split(/\n\n|\n(?=- )/)) {
        if (/\b(?:clone|repository)\b/.test(paragraph)) continue;
        const files = [...paragraph.matchAll(/`((?:scripts|examples|bench|test)\/[^`\s]+)/g)].map(([, file]) => file);
        const commands = paragraph.match(/`[^`]*\b(?:npm run|npm test|npx vitest)\b[^`]*`/g) ?? [];
        wrong.push(...files.filter((file) => !holds(file)), ...commands);
      }
    }
    expect(names).toContain("README.md");
    expect(wrong).toEqual([]);
  });

  test("the address on a CDN that its documents give is that of this version's script", async () => {
    const text = await readFile(path.join(installed, "docs", "environments.md"), "utf8");
    type Manifest = Record<"version" | "jsdelivr", string>;
    const manifest = JSON.parse(await readFile(path.join(installed, "package.json"), "utf8")) as Manifest;
    const addresses = [...text.matchAll(/https:\/\/cdn\.jsdelivr\.net\/[^"`]+/g)].map(([address]) => address);
    const script = path.posix.join(`webgpu-diffusers@${manifest.version}`, manifest.jsdelivr);
    expect(addresses).toEqual([`https://cdn.jsdelivr.net/npm/${script}`]);
    expect(existsSync(path.join(installed, manifest.jsdelivr))).toBe(true);
  });

  test("has no TypeScript sources and no tests of its own", async () => {
    expect((await readdir(installed)).sort()).not.toContain("test");
    expect(await readdir(path.join(installed, "dist"))).toEqual(["bench", "bundle", "kernels", "src"]);
  });
});
