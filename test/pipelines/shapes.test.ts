import { afterAll, describe, expect, test } from "vitest";
import { DiffusionPipeline, EMBEDDED_MODEL, type StableDiffusionPipeline } from "../../src/index.js";
import { offGolden, shapesGoldens } from "../support/shapes.js";

// Of the first prompt under each scheduler; the others are in shapes_prompts.test.ts.
const goldens = (await shapesGoldens()).filter(({ file }) => file.startsWith("0-"));
let loaded: Promise<StableDiffusionPipeline> | undefined;
const load = (): Promise<StableDiffusionPipeline> =>
  (loaded ??= DiffusionPipeline.fromPretrained<StableDiffusionPipeline>(EMBEDDED_MODEL));

describe("the embedded model", () => {
  afterAll(async () => (await loaded)?.dispose());

  for (const golden of goldens)
    test(`${golden.scheduler}, seed ${golden.seed}: ${golden.prompt}`, async () => {
      // The goldens are float32 by diffusers; a picture may differ by one step of 255 on average.
      expect(await offGolden(await load(), golden)).toBeLessThan(1 / 255);
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
    const golden = goldens.find(({ scheduler }) => scheduler === "DDIMScheduler")!;
    expect(await offGolden(pipeline, golden)).toBeLessThan(1 / 255);
    pipeline.dispose();
  });
});
