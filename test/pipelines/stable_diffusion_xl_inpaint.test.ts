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
import {
  dispose,
  expectHalf,
  numbers,
  ramp,
  seeded,
  withUNet,
  XL_PICTURES,
  XL_REPO,
} from "../support/sdxl_pictures.js";

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

  const one = (): Pick<XLInpaintOptions, "image" | "maskImage"> => ({
    image: picture(48, 32),
    maskImage: maskPicture(48, 32, BOX),
  });

  test("in float16 the VAE encodes and draws in float32, as in diffusers", async () => {
    const load = StableDiffusionXLInpaintPipeline.fromPretrained(XL_REPO, { dtype: "float16" });
    const maskImage = maskPicture(40, 24, [8, 0, 32, 16]);
    await expectHalf(await load, { image: picture(40, 24), maskImage, height: 24, width: 40 });
  });

  test("a callback gets the mask, the masked picture's latents and what goes with the prompts", async () => {
    const seen: string[] = [];
    await pipelines.masked("a cat", {
      ...{ ...one(), ...small, numInferenceSteps: 1, strength: 1 },
      callbackOnStepEndTensorInputs: [
        "mask",
        "masked_image_latents",
        "prompt_embeds",
        "add_text_embeds",
        "add_time_ids",
      ],
      callbackOnStepEnd: (_, __, ___, tensors) =>
        void Object.entries(tensors).forEach(([name, tensor]) => seen.push(`${name} ${String(tensor?.shape)}`)),
    });
    expect(seen).toEqual([
      "mask 2,1,4,6",
      "masked_image_latents 2,4,4,6",
      "prompt_embeds 2,77,56",
      "add_text_embeds 2,28",
      "add_time_ids 2,6",
    ]);
  });

  test("paddingMaskCrop puts what is drawn back into the picture; memory is what it was", async () => {
    const image = picture(96, 64);
    const maskImage = maskPicture(96, 64, [40, 20, 60, 30]);
    const options = { ...small, numInferenceSteps: 1, strength: 1, image, maskImage, paddingMaskCrop: 4 };
    const bytes: number[] = [];
    for (let i = 0; i < 2; i++) {
      const { images, ...rest } = await pipelines.base("a cat", { ...options, generator: seeded(8) });
      expect([images[0].width, images[0].height, Object.keys(rest)]).toEqual([96, 64, []]);
      expect(images[0].data.slice(0, 3 * 96 * 20)).toEqual(image.data.slice(0, 3 * 96 * 20));
      expect(images[0].data).not.toEqual(image.data);
      bytes.push(pipelines.base.device.memoryUse.bytes);
    }
    expect(bytes[1]).toBe(bytes[0]);
  });

  test("a UNet that takes masks is told of by the other pipelines", async () => {
    const name = "StableDiffusionXLInpaintPipeline.fromPipe(pipeline) draws with it";
    await expect(StableDiffusionXLPipeline.fromPipe(pipelines.masked)("a cat", small)).rejects.toThrow(name);
    const img2img = StableDiffusionXLImg2ImgPipeline.fromPipe(pipelines.masked);
    await expect(img2img("a cat", { image: picture(48, 32) })).rejects.toThrow(name);
    expect([img2img.guidanceScale, pipelines.masked.guidanceScale]).toEqual([5, 7.5]);
  });

  const WRONG: [name: string, options: () => object, message: string][] = [
    ["no mask", () => ({ maskImage: undefined }), "`maskImage` must be a picture { width, height, data }"],
    ["strength that leaves nothing", () => ({ strength: 0.1 }), "no step is left; give more of one of them"],
    ["a start behind all steps", () => ({ denoisingStart: 0.9999 }), "After `denoisingStart` 0.9999 no step is left"],
    ["an end before the start", () => ({ denoisingStart: 0.8, denoisingEnd: 0.5 }), "must be before `denoisingEnd`"],
    ["promptEmbeds alone", () => ({ pooledPromptEmbeds: 7 }), "`pooledPromptEmbeds` must be a Tensor [batch, width]"],
    [
      "an unknown tensor for the callback",
      () => ({ callbackOnStepEndTensorInputs: ["negative_prompt_embeds"] }),
      "must be of latents, prompt_embeds, add_text_embeds, add_time_ids, mask, masked_image_latents, got",
    ],
  ];
  for (const [title, make, message] of WRONG)
    test(`refuses ${title}`, async () => {
      await expect(pipelines.base("a cat", { ...one(), ...small, ...make() })).rejects.toThrow(message);
    });
});
