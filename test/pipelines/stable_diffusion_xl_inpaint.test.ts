import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  DiffusionPipeline,
  schedulerClass,
  StableDiffusionXLImg2ImgPipeline,
  StableDiffusionXLInpaintPipeline,
  StableDiffusionXLPipeline,
  type ImageInput,
  type RawImage,
  type XLInpaintOptions,
} from "../../src/index.js";
import { testDevice } from "../support/gpu.js";
import { maskPicture, picture } from "../support/pictures.js";
import { camelCase, differences } from "../support/pipelines.js";
import { dispose, numbers, ramp, seeded, withUNet, XL_PICTURES, XL_REPO } from "../support/sdxl_pictures.js";

const LATENTS = [1, 4, 4, 6];
const BOX = [8, 0, 40, 25];
const IMAGES: Record<string, () => ImageInput | ImageInput[]> = {
  "48x32": () => picture(48, 32),
  "61x45": () => picture(61, 45),
  two: () => [picture(48, 32), picture(61, 45)],
  latents: () => ramp(-2, 2, LATENTS),
};
const MASKS: Record<string, () => RawImage> = {
  "48x32": () => maskPicture(48, 32, BOX),
  "61x45 rgb": () => maskPicture(61, 45, BOX, 3),
};
const small = { height: 32, width: 48, numInferenceSteps: 5 };

describe("StableDiffusionXLInpaintPipeline", () => {
  let pipelines: Record<string, StableDiffusionXLInpaintPipeline>;
  beforeAll(async () => {
    await testDevice();
    const load = async (name: "refiner" | "masked"): Promise<StableDiffusionXLInpaintPipeline> =>
      DiffusionPipeline.fromPretrained(await withUNet(name, "StableDiffusionXLInpaintPipeline"));
    const base = await StableDiffusionXLInpaintPipeline.fromPretrained(XL_REPO);
    pipelines = { base, refiner: await load("refiner"), masked: await load("masked") };
    for (const each of Object.values(pipelines)) each.setProgressBarConfig({ disable: true });
  });
  afterAll(() => {
    for (const each of Object.values(pipelines)) each.dispose();
  });

  for (const [i, run] of XL_PICTURES.runs.filter(({ mask }) => mask !== null).entries())
    test(`${i}: ${run.model}, ${run.scheduler}, ${run.image}, ${run.mask}, ${JSON.stringify(run.options)}, as diffusers`, async () => {
      const { prompt = "a photo of a cat", seeds, ...given } = run.options as Record<string, object | string>;
      const pipeline = pipelines[run.model];
      const original = pipeline.scheduler;
      pipeline.scheduler = schedulerClass(run.scheduler).fromConfig(original.config);
      const named = Object.entries(given).map(([name, value]) => [
        camelCase(name),
        (value as unknown) === true ? ramp(2, -2, LATENTS) : value,
      ]);
      const generators = ((seeds as number[] | undefined) ?? [8]).map(seeded);
      const options = {
        ...{ ...small, outputType: "latent", generator: seeds ? generators : generators[0] },
        ...(Object.fromEntries(named) as object),
        ...{ image: IMAGES[run.image](), maskImage: MASKS[run.mask!]() },
      } as XLInpaintOptions & { outputType: "latent" };
      const { images } = await pipeline(prompt as string, options);
      expect(images.shape).toEqual(run.shape);
      // As in test/pipelines/stable_diffusion_xl.test.ts.
      expect(differences(await numbers({ images }), run.images).worst).toBeLessThan(1e-3);
      expect(differences(generators[0].randn([4]), run.after).worst).toBeLessThan(1e-4);
      pipeline.scheduler = original;
      dispose(options);
    });
});
