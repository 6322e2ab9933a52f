import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  AutoencoderKL,
  DiffusionPipeline,
  schedulerClass,
  StableDiffusionXLImg2ImgPipeline,
  StableDiffusionXLPipeline,
  type ImageInput,
  type XLImg2ImgOptions,
} from "../../src/index.js";
import { testDevice } from "../support/gpu.js";
import { picture, tensor } from "../support/pictures.js";
import { camelCase, differences } from "../support/pipelines.js";
import { changed } from "../support/repositories.js";
import { dispose, numbers, ramp, seeded, withUNet, XL_PICTURES, XL_REPO } from "../support/sdxl_pictures.js";

const { runs, ensemble } = XL_PICTURES;
const LATENTS = [1, 4, 4, 6];
const IMAGES: Record<string, () => ImageInput | ImageInput[]> = {
  "48x32": () => picture(48, 32),
  "61x45": () => picture(61, 45),
  two: () => [picture(48, 32), picture(61, 45)],
  tensor: () => tensor(50, 34, "nchw"),
  latents: () => ramp(-2, 2, LATENTS),
};

describe("StableDiffusionXLImg2ImgPipeline", () => {
  let text: StableDiffusionXLPipeline;
  let pipelines: Record<string, StableDiffusionXLImg2ImgPipeline>;
  beforeAll(async () => {
    await testDevice();
    text = await StableDiffusionXLPipeline.fromPretrained(XL_REPO);
    const base = StableDiffusionXLImg2ImgPipeline.fromPipe(text);
    const refiner = await DiffusionPipeline.fromPretrained<StableDiffusionXLImg2ImgPipeline>(
      await withUNet("refiner", "StableDiffusionXLImg2ImgPipeline"),
    );
    pipelines = { base, refiner };
    for (const each of [text, base, refiner]) each.setProgressBarConfig({ disable: true });
  });
  afterAll(() => {
    for (const each of Object.values(pipelines)) each.dispose();
  });

  for (const [i, run] of runs.filter(({ mask }) => mask === null).entries())
    test(`${i}: ${run.model}, ${run.scheduler}, ${run.image}, ${JSON.stringify(run.options)}, as diffusers`, async () => {
      const { prompt = "a photo of a cat", seeds, vae, ...given } = run.options as Record<string, object | string>;
      let pipeline = pipelines[run.model];
      let other: AutoencoderKL | undefined;
      if (vae) {
        const config = await AutoencoderKL.loadConfig(XL_REPO, { subfolder: "vae" });
        const source = await changed(XL_REPO, { "vae/config.json": { ...config, ...(vae as object) } });
        other = await AutoencoderKL.fromPretrained(source, { subfolder: "vae" });
        pipeline = StableDiffusionXLImg2ImgPipeline.fromPipe(pipeline, { vae: other });
        pipeline.setProgressBarConfig({ disable: true });
      }
      const original = pipeline.scheduler;
      pipeline.scheduler = schedulerClass(run.scheduler).fromConfig(original.config);
      const named = Object.entries(given).map(([name, value]) => [
        camelCase(name),
        (value as unknown) === true ? ramp(2, -2, LATENTS) : value,
      ]);
      const generators = ((seeds as number[] | undefined) ?? [8]).map(seeded);
      const options = {
        ...{ numInferenceSteps: 5, outputType: "latent", generator: seeds ? generators : generators[0] },
        ...{ ...(Object.fromEntries(named) as object), image: IMAGES[run.image]() },
      } as XLImg2ImgOptions & { outputType: "latent" };
      const { images } = await pipeline(prompt as string, options);
      expect(images.shape).toEqual(run.shape);
      // As in test/pipelines/stable_diffusion_xl.test.ts.
      const tolerance = (options.outputType as string) === "np" ? 1 / 255 : 1e-3;
      expect(differences(await numbers({ images }), run.images).worst).toBeLessThan(tolerance);
      expect(differences(generators[0].randn([4]), run.after).worst).toBeLessThan(1e-4);
      pipeline.scheduler = original;
      dispose(options);
      other?.dispose();
    });

  test("the refiner goes on where the base model ended, as in diffusers", async () => {
    const options = { numInferenceSteps: 8, outputType: "latent", generator: seeded(8) } as const;
    const prompt = "a photo of a cat";
    const { images: image } = await text(prompt, { ...options, height: 32, width: 48, denoisingEnd: 0.6 });
    const last = await numbers(await pipelines.refiner(prompt, { ...options, image, denoisingStart: 0.6 }));
    expect(differences((await image.data()) as Float32Array, ensemble.first).worst).toBeLessThan(1e-3);
    expect(differences(last, ensemble.last).worst).toBeLessThan(1e-3);
    image.dispose();
  });
});
