/** StableDiffusionUpscalePipeline and StableDiffusionLatentUpscalePipeline. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { DiffusionPipeline, schedulerClass, type AnyPipeline, type Tensor } from "../../src/index.js";
import { testDevice } from "../support/gpu.js";
import { camelCase, differences } from "../support/pipelines.js";
import { dispose, numbers, seeded } from "../support/sdxl_pictures.js";
import { givenTensors, IMAGES, UPSCALE, upscaleRepository, type Kind } from "../support/upscale.js";
import { warnings } from "../support/warnings.js";

describe("upscalers", () => {
  const pipelines = {} as Record<string, AnyPipeline>;
  beforeAll(async () => {
    await testDevice();
    for (const unet of new Set(UPSCALE.runs.map((run) => run.unet))) {
      const kind = unet.slice(0, 2) as Kind;
      const warned = await warnings(async () => {
        pipelines[unet] = await DiffusionPipeline.fromPretrained(await upscaleRepository(kind, unet));
      });
      // The repository's VAE is that of another model.
      expect(warned.map((text) => text.slice(0, 67))).toEqual(
        kind === "x4" ? ["The configuration file of the vae does not contain `scaling_factor`"] : [],
      );
      pipelines[unet].setProgressBarConfig({ disable: true });
    }
  });
  afterAll(() => {
    for (const each of Object.values(pipelines)) each.dispose();
  });

  for (const [i, run] of UPSCALE.runs.entries()) {
    const { kind, unet, scheduler, image, options, shape } = run;
    test(`${i}: ${unet}, ${scheduler}, ${image}, ${JSON.stringify(options)}, as diffusers`, async () => {
      const pipeline = pipelines[unet];
      const original = pipeline.scheduler;
      pipeline.scheduler = schedulerClass(scheduler).fromConfig((original as unknown as { config: object }).config);
      const { prompt = "a photo of a cat", seeds, given, ...rest } = options;
      const generators = ((seeds as number[] | undefined) ?? [8]).map(seeded);
      const call = {
        ...{ numInferenceSteps: 4, outputType: "latent", generator: seeds ? generators : generators[0] },
        ...Object.fromEntries(Object.entries(rest).map(([name, value]) => [camelCase(name), value])),
        ...(given ? givenTensors(kind) : {}),
        image: IMAGES[image](),
      };
      let images: Tensor;
      await warnings(async () => {
        ({ images } = (await pipeline(given ? null : prompt, call)) as { images: Tensor });
      });
      pipeline.scheduler = original;
      expect(images!.shape).toEqual(shape);
      // As in test/pipelines/stable_diffusion.test.ts.
      const bound = options.output_type === "np" ? 1 / 255 : 1e-3;
      expect(differences(await numbers({ images: images! }), run.images).worst).toBeLessThan(bound);
      dispose(call);
    });
  }
});
