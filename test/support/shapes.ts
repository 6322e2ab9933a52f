/** Pictures of the embedded model next to diffusers', fixtures/shapes. */
import { Generator, schedulerClass, type StableDiffusionPipeline } from "../../src/index.js";
import { readFixtureJSON } from "./files.js";
import { readGolden } from "./goldens.js";
import { differences } from "./pipelines.js";

export interface ShapesGolden {
  file: string;
  prompt: string;
  scheduler: string;
  seed: number;
  num_inference_steps: number;
  guidance_scale: number;
}

/** Files begin with the number of their prompt. */
export const shapesGoldens = async (): Promise<ShapesGolden[]> =>
  (await readFixtureJSON("shapes/index.json")) as unknown as ShapesGolden[];

/** The mean difference from the golden; pictures in [0, 1]. */
export async function offGolden(
  pipeline: StableDiffusionPipeline,
  { file, prompt, scheduler, seed, ...golden }: ShapesGolden,
): Promise<number> {
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
  const { mean } = differences(await images.data(), expected.get("image")!.data);
  images.dispose();
  return mean;
}
