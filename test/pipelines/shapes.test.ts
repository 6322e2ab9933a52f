import { afterAll, describe, expect, test } from "vitest";
import {
  DiffusionPipeline,
  EMBEDDED_MODEL,
  Generator,
  schedulerClass,
  type StableDiffusionPipeline,
} from "../../src/index.js";
import { readFixtureJSON } from "../support/files.js";
import { readGolden } from "../support/goldens.js";
import { differences } from "../support/pipelines.js";

interface ShapesGolden {
  file: string;
  prompt: string;
  scheduler: string;
  seed: number;
  num_inference_steps: number;
  guidance_scale: number;
}
const goldens = (await readFixtureJSON("shapes/index.json")) as unknown as ShapesGolden[];
let loaded: Promise<StableDiffusionPipeline> | undefined;
const load = (): Promise<StableDiffusionPipeline> =>
  (loaded ??= DiffusionPipeline.fromPretrained<StableDiffusionPipeline>(EMBEDDED_MODEL));

describe("the embedded model", () => {
  afterAll(async () => (await loaded)?.dispose());

  for (const { file, prompt, scheduler, seed, ...golden } of goldens)
    test(`${scheduler}, seed ${seed}: ${prompt}`, async () => {
      const pipeline = await load();
      pipeline.setProgressBarConfig({ disable: true });
      const original = pipeline.scheduler;
      pipeline.scheduler = schedulerClass(scheduler).fromConfig(original.config);
      const { images } = await pipeline(prompt, {
        numInferenceSteps: golden.num_inference_steps,
        guidanceScale: golden.guidance_scale,
        generator: new Generator("cpu").manualSeed(seed),
        outputType: "np",
      });
      pipeline.scheduler = original;
      const expected = await readGolden(`shapes/${file}`);
      // The goldens are float32 by diffusers; a picture may differ by one step of 255 on average.
      expect(differences(await images.data(), expected.get("image")!.data).mean).toBeLessThan(1 / 255);
      images.dispose();
    });

  test("is named with its folders, though its address ends in a slash", async () => {
    const { unet } = await load();
    const { _name_or_path: name } = unet.config as unknown as { _name_or_path: string };
    expect(name).toMatch(/[^/]\/models\/shapes\/unet$/);
  });

  test("float16 draws the float32 picture", async () => {
    const pipeline = await DiffusionPipeline.fromPretrained<StableDiffusionPipeline>(EMBEDDED_MODEL, {
      dtype: "float16",
    });
    pipeline.setProgressBarConfig({ disable: true });
    pipeline.scheduler = schedulerClass("DDIMScheduler").fromConfig(pipeline.scheduler.config);
    const { images } = await pipeline("a red circle on a white background", {
      numInferenceSteps: 25,
      guidanceScale: 3,
      generator: new Generator("cpu").manualSeed(8),
      outputType: "np",
    });
    const expected = await readGolden("shapes/0-DDIMScheduler.safetensors");
    expect(differences(await images.data(), expected.get("image")!.data).mean).toBeLessThan(1 / 255);
    images.dispose();
    pipeline.dispose();
  });
});
