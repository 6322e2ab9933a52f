import { createHash } from "node:crypto";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Generator, StableDiffusionPipeline, StableDiffusionSafetyChecker } from "../../src/index.js";
import { fixturePath } from "../support/files.js";

// What StableDiffusionSafetyChecker.from_pretrained("test/fixtures/models/repos/sd15-safe/safety_checker").save_pretrained(folder)
// wrote with diffusers 0.42.1 and transformers 5.24.0.
const PYTHON = "7a421c8ce5164fe92e8dfa86dade9d4be5e6e76b85791975511a213679ecebd0";
const SAFE = fixturePath("models/repos/sd15-safe");

let root = "";
beforeAll(async () => void (root = await mkdtemp(join(tmpdir(), "save-safety-"))));
afterAll(() => rm(root, { recursive: true, force: true }));

test("a saved safety checker has Python's bytes, and a config in today's form", async () => {
  const checker = await StableDiffusionSafetyChecker.fromPretrained(SAFE, { subfolder: "safety_checker" });
  await checker.savePretrained(root);
  checker.dispose();
  const bytes = await readFile(join(root, "model.safetensors"));
  expect(createHash("sha256").update(bytes).digest("hex")).toBe(PYTHON);
  const config = await readFile(join(root, "config.json"), "utf8");
  const { vision_config_dict, model_type, architectures } = JSON.parse(config) as Record<string, unknown>;
  expect([vision_config_dict, model_type, architectures]).toEqual([
    undefined,
    "clip",
    ["StableDiffusionSafetyChecker"],
  ]);
  // Floats stay floats, and ints ints, in what is nested, too.
  for (const line of ['"attention_dropout": 0.0', '"temperature": 1.0', '"num_beams": 1,', '"initializer_factor": 1.0'])
    expect(config).toContain(`    ${line}`);
});

test("a saved pipeline loads with all seven components, and finds the same", async () => {
  const { vae, text_encoder, tokenizer, unet, scheduler } = await StableDiffusionPipeline.fromPretrained(
    fixturePath("models/repos/sd15"),
  );
  const pipeline = await StableDiffusionPipeline.fromPretrained(SAFE, {
    vae,
    text_encoder,
    tokenizer,
    unet,
    scheduler,
  });
  const folder = join(root, "pipeline");
  await pipeline.savePretrained(folder, { dtype: "float16", variant: "fp16" });
  pipeline.dispose();
  const index = JSON.parse(await readFile(join(folder, "model_index.json"), "utf8")) as Record<string, unknown>;
  expect(index).toMatchObject({
    safety_checker: ["stable_diffusion", "StableDiffusionSafetyChecker"],
    feature_extractor: ["transformers", "CLIPImageProcessor"],
    requires_safety_checker: true,
  });
  const saved = await StableDiffusionPipeline.fromPretrained(folder, {
    variant: "fp16",
    dtype: { safety_checker: "float16", default: "float32" },
  });
  expect(Object.values(saved.components).filter((component) => component !== null)).toHaveLength(7);
  expect([saved.safety_checker?.dtype, saved.unet.dtype]).toEqual(["float16", "float32"]);
  saved.setProgressBarConfig({ disable: true });
  const generator = new Generator("cpu").manualSeed(8);
  const few = { numInferenceSteps: 3, height: 16, width: 24, generator };
  const { images, nsfwContentDetected } = await saved(["a photo of a cat", "a dog"], few);
  expect(nsfwContentDetected).toEqual([true, false]); // as scripts/make_safety.py has it
  expect(images.map(({ data }) => data.some((value) => value > 0))).toEqual([false, true]);
  saved.dispose();
});
