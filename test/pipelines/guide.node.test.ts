// docs/guide.md, which is diffusers' guide "Load schedulers and models", run from top to bottom against a local hub that has small
// models under the guide's names. Its Flax part: guide_flax.node.test.ts.
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from "vitest";
import type { DiffusionPipeline, Scheduler, UNet2DConditionModel, UNet2DModel } from "../../src/index.js";
import { folderFiles, oneCommit, startFakeHub, type FakeHub } from "../support/fake_hub_node.js";
import { fixturePath } from "../support/files.js";
import { programsOf, runProgram } from "../support/guide_node.js";

const [LOAD, COMPARE, , MODELS] = programsOf("guide.md");
const SD15 = "stable-diffusion-v1-5/stable-diffusion-v1-5";
const UNET = "unet/diffusion_pytorch_model";

let hub: FakeHub;
let folder: string;
const printed: unknown[] = [];
const { log } = console;

beforeAll(async () => {
  const sd15 = new Map(folderFiles(fixturePath("models/repos/sd15")));
  sd15.set(`${UNET}.non_ema.safetensors`, sd15.get(`${UNET}.safetensors`)!);
  hub = await startFakeHub([
    [SD15, oneCommit(sd15)],
    ["google/ddpm-cifar10-32", oneCommit(folderFiles(fixturePath("models/repos/ddpm-cifar")))],
  ]);
  folder = mkdtempSync(path.join(os.tmpdir(), "guide-"));
  vi.stubEnv("HF_ENDPOINT", hub.url);
  vi.stubEnv("HF_HUB_CACHE", path.join(folder, "hub"));
  vi.stubEnv("HF_TOKEN", undefined);
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await hub.close();
  rmSync(folder, { recursive: true, force: true });
});
beforeEach(() => {
  printed.length = 0;
  hub.seen.length = 0;
  console.log = (...values: unknown[]) => void printed.push(...values);
});
afterEach(() => void (console.log = log));

/** What a program writes goes to a folder of the test's own. */
const here = (code: string): string =>
  code.replace("${name}.png", `${folder}/\${name}.png`).replaceAll("./local-unet", `${folder}/local-unet`);

const weightsRead = (): string[] =>
  hub.seen
    .filter(({ at, method, sent }) => at === "cdn" && method === "GET" && sent > 0)
    .map((request) => request.path);

test("a pipeline and its scheduler", async () => {
  const { pipeline, ddim, other } = (await runProgram(LOAD, ["pipeline", "ddim", "other"])) as {
    pipeline: DiffusionPipeline & { scheduler: Scheduler };
    ddim: Scheduler;
    other: DiffusionPipeline & { scheduler: Scheduler };
  };
  const [scheduler, compatibles, config] = printed;
  expect(String(scheduler)).toMatch(/^PNDMScheduler \{\n {2}"_class_name": "PNDMScheduler",\n/);
  expect(pipeline.dtype).toBe("float16");
  expect(other.scheduler).toBe(ddim);
  expect(String(other.scheduler)).toMatch(/^DDIMScheduler \{/);
  expect(compatibles).toHaveLength(15);
  expect(compatibles).toContain("EulerAncestralDiscreteScheduler");
  expect(config).toBe(ddim.config);
  expect(Object.isFrozen(config)).toBe(true);
  // Twice the same pipeline: the second comes from the cache.
  expect(weightsRead().length).toBe(new Set(weightsRead()).size);
  for (const each of [pipeline, other]) each.dispose();
});

test("one prompt and seed under several schedulers", async () => {
  await runProgram(here(COMPARE), []);
  const pictures = ["lms", "euler", "euler_ancestral", "dpm_solver"].map((name) =>
    readFileSync(path.join(folder, `${name}.png`)).toString("base64"),
  );
  for (const picture of pictures) expect(picture.startsWith("iVBORw0KGgo")).toBe(true); // PNG
  expect(new Set(pictures).size).toBe(4);
  expect(weightsRead()).toEqual([]);
});

test("models: from a subfolder, from a root, a variant loaded and saved", async () => {
  const { unet, small, nonEMA, again } = (await runProgram(here(MODELS), ["unet", "small", "nonEMA", "again"])) as {
    unet: UNet2DConditionModel;
    small: UNet2DModel;
    nonEMA: UNet2DConditionModel;
    again: UNet2DConditionModel;
  };
  // The UNet is in the cache since the first program; what has other bytes is not.
  expect(weightsRead()).toEqual(["diffusion_pytorch_model.safetensors"]);
  expect(unet.numParameters()).toBe(nonEMA.numParameters());
  expect(again.config).toMatchObject({ sample_size: unet.config.sample_size });
  expect(small.config.sample_size).toBeTruthy();
  const saved = path.join(folder, "local-unet");
  expect(existsSync(path.join(saved, "diffusion_pytorch_model.non_ema.safetensors"))).toBe(true);
  expect(existsSync(path.join(saved, "diffusion_pytorch_model.safetensors"))).toBe(false);
});
