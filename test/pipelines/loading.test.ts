import { describe, expect, test } from "vitest";
import { DDIMScheduler, DiffusionPipeline, StableDiffusionPipeline } from "../../src/index.js";
import { fixturePath, readFixtureJSON } from "../support/files.js";
import { changed, type Changes } from "../support/repositories.js";

const REPO = "models/repos/sd15";

/** Collects console.warn while `work` runs. */
async function warnings(work: () => Promise<unknown>): Promise<string[]> {
  const seen: string[] = [];
  const original = console.warn;
  console.warn = (...args: unknown[]) => void seen.push(args.join(" "));
  try {
    await work();
  } finally {
    console.warn = original;
  }
  return seen;
}

describe("DiffusionPipeline.fromPretrained", () => {
  const load = async (changes: Changes = {}, options = {}): Promise<StableDiffusionPipeline> =>
    DiffusionPipeline.fromPretrained<StableDiffusionPipeline>(await changed(fixturePath(REPO), changes), options);
  const index = async (change: object): Promise<Changes> => ({
    "model_index.json": { ...(await readFixtureJSON(`${REPO}/model_index.json`)), ...change },
  });

  test("returns the class of the file, with its components", async () => {
    const pipeline = await load();
    expect(pipeline).toBeInstanceOf(StableDiffusionPipeline);
    expect(Object.keys(pipeline.components)).toEqual(StableDiffusionPipeline.componentNames);
    expect(pipeline.scheduler.className).toBe("PNDMScheduler");
    pipeline.dispose();
  });

  test("a component that is given is used and its files are not read", async () => {
    const scheduler = await DDIMScheduler.fromPretrained(fixturePath(REPO), { subfolder: "scheduler" });
    const pipeline = await load({ "scheduler/scheduler_config.json": null }, { scheduler });
    expect(pipeline.scheduler).toBe(scheduler);
    pipeline.dispose();
  });

  test("patches the configs of 2022, with a warning, at construction only", async () => {
    const scheduler = new DDIMScheduler(); // steps_offset 0, clip_sample true
    let pipeline: StableDiffusionPipeline | undefined;
    const seen = await warnings(async () => (pipeline = await load({}, { scheduler })));
    expect(seen.join("\n")).toContain("`steps_offset` should be set to 1 instead of 0");
    expect(seen.join("\n")).toContain("has not set `clip_sample`");
    const { steps_offset, clip_sample } = pipeline!.scheduler.config;
    expect([steps_offset, clip_sample]).toEqual([1, false]);
    pipeline!.dispose();
  });

  test("leaves out the safety checker with a warning", async () => {
    const changes = await index({ safety_checker: ["stable_diffusion", "StableDiffusionSafetyChecker"] });
    const seen = await warnings(async () => (await load(changes)).dispose());
    expect(seen).toEqual([
      "safety_checker (StableDiffusionSafetyChecker) is not available in this version and is left out.",
    ]);
  });

  test("names unexpected options", async () => {
    const seen = await warnings(async () => (await load({}, { sheduler: 1 })).dispose());
    expect(seen).toEqual([
      'Keyword arguments ["sheduler"] are not expected by StableDiffusionPipeline and will be ignored.',
    ]);
  });

  const WRONG: [string, object, string][] = [
    [
      "an unknown pipeline",
      { _class_name: "FluxPipeline" },
      '_class_name is "FluxPipeline", which is not a pipeline of this version. Known: DDIMPipeline, DDPMPipeline, PNDMPipeline, StableDiffusionPipeline',
    ],
    ["a list as class", { _class_name: ["a", "b"] }, "_class_name is"],
    ["constructor as class", { _class_name: "constructor" }, "_class_name is"],
    [
      "an unknown component",
      { unet: ["diffusers", "UNet3DConditionModel"] },
      "unet is a diffusers.UNet3DConditionModel",
    ],
    ["a foreign library", { unet: ["os", "system"] }, "unet is a os.system"],
    ["__proto__ as class", { unet: ["diffusers", "__proto__"] }, "unet is a diffusers.__proto__"],
    ["a component that is no pair", { vae: "diffusers" }, "vae must be [library, class]"],
    ["numbers", { vae: [1, 2] }, "vae must be two strings"],
    ["a missing required component", { vae: [null, null] }, "components vae are missing"],
  ];
  for (const [name, change, message] of WRONG)
    test(`refuses ${name}`, async () => {
      await expect(index(change).then((changes) => load(changes))).rejects.toThrow(message);
    });

  test("names a missing model_index.json and a missing folder", async () => {
    await expect(load({ "model_index.json": null })).rejects.toThrow("model_index.json: no such file");
    await expect(load({ "unet/config.json": null })).rejects.toThrow("unet/config.json: no such file");
  });
});
