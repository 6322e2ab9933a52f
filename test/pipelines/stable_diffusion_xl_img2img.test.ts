import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  AutoencoderKL,
  DiffusionPipeline,
  estimateMemory,
  schedulerClass,
  StableDiffusionXLImg2ImgPipeline,
  StableDiffusionXLPipeline,
  type ImageInput,
  type XLImg2ImgOptions,
} from "../../src/index.js";
import { keptFiles } from "../support/kept_files.js";
import { testDevice } from "../support/gpu.js";
import { picture, tensor } from "../support/pictures.js";
import { camelCase, differences } from "../support/pipelines.js";
import { changed } from "../support/repositories.js";
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

  test("in float16 the VAE encodes and draws in float32, as in diffusers", async () => {
    const load = StableDiffusionXLImg2ImgPipeline.fromPretrained(XL_REPO, { dtype: "float16" });
    await expectHalf(await load, { image: picture(40, 24) });
  });

  test("settings go from pipeline to pipeline and into files, and memory is what it was", async () => {
    const { refiner } = pipelines;
    const saved = keptFiles();
    await refiner.savePretrained(saved);
    const index = JSON.parse(saved.files.get("model_index.json")!) as object;
    expect(index).toEqual({ ...refiner.config, _name_or_path: refiner.nameOrPath });
    expect(index).toEqual({ ...index, requires_aesthetics_score: true, force_zeros_for_empty_prompt: true });
    expect(index).toEqual({ ...index, text_encoder: [null, null], tokenizer: [null, null] });
    const asText = StableDiffusionXLPipeline.fromPipe(refiner);
    expect(asText.config._requires_aesthetics_score).toBe(true);
    const again = StableDiffusionXLImg2ImgPipeline.fromPipe(asText);
    again.setProgressBarConfig({ disable: true });
    const { requires_aesthetics_score, _requires_aesthetics_score, force_zeros_for_empty_prompt } = again.config;
    expect([requires_aesthetics_score, _requires_aesthetics_score]).toEqual([true, undefined]);
    expect([force_zeros_for_empty_prompt, again.guidanceScale, again.unet]).toEqual([true, 5, refiner.unet]);
    const options = { image: picture(48, 32), strength: 1, numInferenceSteps: 1 };
    const bytes: number[] = [];
    for (let i = 0; i < 2; i++) {
      const { images, ...rest } = await again("a cat", options);
      expect([images[0].width, images[0].height, Object.keys(rest)]).toEqual([48, 32, []]);
      bytes.push(again.device.memoryUse.bytes);
    }
    expect(bytes[1]).toBe(bytes[0]);
  });

  test("estimateMemory counts the refiner", async () => {
    const source = await withUNet("refiner", "StableDiffusionXLImg2ImgPipeline");
    const { weights, peak } = await estimateMemory(source, null, { height: 32, width: 48, numInferenceSteps: 1 });
    expect(peak).toBeGreaterThan(weights);
  });

  test("tells which pipeline and setting a UNet wants", async () => {
    const options = { image: picture(48, 32), strength: 1, numInferenceSteps: 1 };
    const { base, refiner } = pipelines;
    const without = StableDiffusionXLImg2ImgPipeline.fromPipe(refiner, { requires_aesthetics_score: false });
    await expect(without("a cat", options)).rejects.toThrow(
      "StableDiffusionXLImg2ImgPipeline: the UNet takes 5 numbers of sizes and scores beside the pooled prompt " +
        "(projection_class_embeddings_input_dim = 68), and this gives 6; " +
        "StableDiffusionXLImg2ImgPipeline.fromPipe(pipeline, { requires_aesthetics_score: true }) draws with it",
    );
    const scored = StableDiffusionXLImg2ImgPipeline.fromPipe(base, { requires_aesthetics_score: true });
    await expect(scored("a cat", options)).rejects.toThrow("{ requires_aesthetics_score: false }) draws with it");
    const asText = StableDiffusionXLPipeline.fromPipe(refiner);
    await expect(asText("a cat", { height: 32, width: 48 })).rejects.toThrow(
      "StableDiffusionXLImg2ImgPipeline.fromPipe(pipeline, { requires_aesthetics_score: true }) draws with it",
    );
  });

  const WRONG: [name: string, options: () => object, message: string][] = [
    ["no picture", () => ({ image: undefined }), "`image` must be a picture { width, height, data }"],
    ["strength above 1", () => ({ strength: 1.1 }), "`strength` must be from 0 to 1, got 1.1"],
    ["strength that leaves nothing", () => ({ strength: 0.1 }), "no step is left; give more of one of them"],
    [
      "an end before the start",
      () => ({ denoisingStart: 0.8, denoisingEnd: 0.8 }),
      "`denoisingStart` must be before `denoisingEnd`, got 0.8 and 0.8",
    ],
    ["a start of text", () => ({ denoisingStart: "0.5" }), '`denoisingStart` must be a finite number, got "0.5"'],
    ["a score that is none", () => ({ aestheticScore: NaN }), "`aestheticScore` must be a finite number, got NaN"],
    [
      "latents of another batch",
      () => ({ latents: ramp(0, 1, [2, 4, 4, 6]) }),
      "`latents` must be [1, 4, height, width] for these prompts, got [2, 4, 4, 6]",
    ],
    [
      "negative_prompt_embeds for the callback",
      () => ({ callbackOnStepEndTensorInputs: ["negative_prompt_embeds"] }),
      "must be of latents, prompt_embeds, add_text_embeds, add_time_ids, got",
    ],
  ];
  for (const [name, make, message] of WRONG)
    test(`refuses ${name}`, async () => {
      const options = { image: picture(48, 32), numInferenceSteps: 5, ...make() };
      await expect(pipelines.base("a cat", options)).rejects.toThrow(message);
      dispose(options);
    });
});
