// Noise of the steps of float16 models, compared with diffusers' float16 (scripts/make_half.py).
import { afterAll, beforeAll, expect, test } from "vitest";
import { CosineDPMSolverMultistepScheduler, schedulerClass, StableDiffusionPipeline } from "../../src/index.js";
import { stepNoise } from "../../src/schedulers/noise.js";
import { fixturePath, readFixtureJSON } from "../support/files.js";
import { tensor } from "../support/pictures.js";
import { differences } from "../support/pipelines.js";
import { numbers, seeded } from "../support/sdxl_pictures.js";

interface HalfRun {
  scheduler: string;
  changes: object;
  options: { eta?: number; num_images_per_prompt?: number; seeds?: number[] };
  latents: number[];
  /** What the first generator draws next. */
  after: number[];
}

const runs = await readFixtureJSON<HalfRun[]>("pipelines/half.json");
let pipeline: StableDiffusionPipeline;
let config: object;
beforeAll(async () => {
  pipeline = await StableDiffusionPipeline.fromPretrained(fixturePath("models/repos/sd15"), { dtype: "float16" });
  pipeline.setProgressBarConfig({ disable: true });
  ({ config } = pipeline.scheduler);
});
afterAll(() => pipeline.dispose());

for (const { scheduler, changes, options, latents, after } of runs)
  test(`${scheduler} ${JSON.stringify({ ...changes, ...options })} draws its noise as in float16`, async () => {
    pipeline.scheduler = schedulerClass(scheduler).fromConfig({ ...config, ...changes });
    const { seeds = [8], eta, num_images_per_prompt: numImagesPerPrompt } = options;
    const generators = seeds.map(seeded);
    const { images } = await pipeline("a photo of a cat", {
      ...{ numInferenceSteps: 4, guidanceScale: 3, height: 40, width: 24, outputType: "latent" },
      generator: generators.length > 1 ? generators : generators[0],
      ...{ eta, numImagesPerPrompt },
    });
    // Both round differently on the way, by up to 0.006 of the numbers' mean size. With other noise it is 0.2 and more.
    const size = differences(new Float32Array(latents.length), latents).mean;
    const off = differences(await numbers({ images }), latents).mean / size;
    expect(off).toBeLessThan(0.02);
    expect(differences(generators[0].randn([4]), after).worst).toBeLessThan(1e-4);
  });

test("a scheduler that goes by the generator's seed finds it", async () => {
  const drawn = (generator: ReturnType<typeof stepNoise>): Promise<Float32Array> => {
    const scheduler = new CosineDPMSolverMultistepScheduler();
    scheduler.setTimesteps(3);
    const [output, sample] = [tensor(5, 3, "nchw"), tensor(5, 3, "nchw", 2)];
    return numbers({ images: scheduler.step(output, scheduler.timesteps[0], sample, { generator }).prevSample });
  };
  expect(await drawn(stepNoise("float16", seeded(8)))).toEqual(await drawn(seeded(8)));
});
