/** What upscalers refuse, and how their parts are replaced; test/pipelines/upscale.test.ts has what they draw. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  DDPMScheduler,
  DiffusionPipeline,
  EulerDiscreteScheduler,
  FlowMatchEulerDiscreteScheduler,
  NumericalError,
  StableDiffusionLatentUpscalePipeline,
  StableDiffusionPipeline,
  StableDiffusionUpscalePipeline,
  Tensor,
  type LatentUpscaleOptions,
  type UpscaleOptions,
} from "../../src/index.js";
import { fixturePath } from "../support/files.js";
import { testDevice } from "../support/gpu.js";
import { picture } from "../support/pictures.js";
import { numbers, ramp, seeded } from "../support/sdxl_pictures.js";
import { givenTensors, IMAGES, upscaleRepository } from "../support/upscale.js";
import { warnings } from "../support/warnings.js";

const PROMPT = "a photo of a cat";
const SHORT = { numInferenceSteps: 2, outputType: "latent" } as const;
const image = picture(12, 8);

describe("StableDiffusionUpscalePipeline", () => {
  let pipeline: StableDiffusionUpscalePipeline;
  beforeAll(async () => {
    await testDevice();
    await warnings(async () => {
      pipeline = await StableDiffusionUpscalePipeline.fromPretrained(await upscaleRepository("x4"));
    });
    pipeline.setProgressBarConfig({ disable: true });
  });
  afterAll(() => pipeline.dispose());
  const draw = async (options: object = {}): Promise<Float32Array> =>
    numbers(
      (await pipeline(PROMPT, { ...SHORT, image, generator: seeded(8), ...options } as UpscaleOptions)) as unknown as {
        images: Tensor;
      },
    );

  test("its second scheduler is shown, adds the picture's noise, and may be another one", async () => {
    expect(pipeline.low_res_scheduler).toBeInstanceOf(DDPMScheduler);
    expect(pipeline.config.low_res_scheduler).toEqual(["diffusers", "DDPMScheduler"]);
    expect(pipeline.config.max_noise_level).toBe(350);
    expect(String(pipeline)).toContain('"low_res_scheduler"');
    const first = await draw();
    const original = pipeline.low_res_scheduler;
    pipeline.low_res_scheduler = DDPMScheduler.fromConfig(original.config, { beta_end: 0.9 });
    expect(await draw()).not.toEqual(first);
    pipeline.low_res_scheduler = original;
    expect(await draw()).toEqual(first);
    pipeline.low_res_scheduler = null as never;
    await expect(draw()).rejects.toThrow(
      "StableDiffusionUpscalePipeline: the component `low_res_scheduler` is missing; Scheduler is needed to add noise to the picture",
    );
    pipeline.low_res_scheduler = original;
  });

  test("fromPipe makes one of another pipeline's models, and keeps the highest level of noise", async () => {
    const own = StableDiffusionUpscalePipeline.fromPipe(pipeline, { max_noise_level: 10 });
    own.setProgressBarConfig({ disable: true });
    expect([own.low_res_scheduler, own.unet]).toEqual([pipeline.low_res_scheduler, pipeline.unet]);
    const noiseLevel = 11;
    await expect(own(PROMPT, { ...SHORT, image, noiseLevel })).rejects.toThrow(
      "`noiseLevel` must be a whole number from 0 to 10 (max_noise_level), got 11",
    );
    const text = StableDiffusionPipeline.fromPipe(pipeline);
    await expect(text(PROMPT, SHORT)).rejects.toThrow(
      "it takes 7 channels (in_channels) and gives 4; StableDiffusionUpscalePipeline.fromPipe(pipeline, { low_res_scheduler: new DDPMScheduler(…) }) draws with it",
    );
    expect(() => StableDiffusionUpscalePipeline.fromPipe(text)).toThrow("components low_res_scheduler are missing");
    const { low_res_scheduler } = pipeline;
    const again = StableDiffusionUpscalePipeline.fromPipe(text, { low_res_scheduler });
    again.setProgressBarConfig({ disable: true });
    const { images } = await again(PROMPT, { ...SHORT, image, generator: seeded(8) });
    expect(await numbers({ images })).toEqual(await draw());
  });

  test("a picture of four times the size, and no word of safety", async () => {
    const { images, nsfwContentDetected } = await pipeline(PROMPT, { image: picture(15, 9), numInferenceSteps: 1 });
    expect([images.length, images[0].width, images[0].height, nsfwContentDetected]).toEqual([1, 48, 32, null]);
  });

  test("the callback is called after each step, and no warning says that it is old", async () => {
    const seen: [number, number, string][] = [];
    const warned = await warnings(() =>
      draw({
        numInferenceSteps: 3,
        callback: (i: number, t: number, x: Tensor) => void seen.push([i, t, `${x.shape}`]),
      }),
    );
    expect(warned).toEqual([]);
    expect(seen).toEqual(pipeline.scheduler.timesteps.map((t, i) => [i, t, "1,4,8,12"]));
    const odd = await warnings(() => draw({ callbackOnStepEnd: () => ({}), height: 64 }));
    expect(odd.join()).toMatch(/options that a call does not have are ignored: `callbackOnStepEnd`.*`height`/);
  });

  test("a signal ends a call, and numbers that are none are an error", async () => {
    const stop = new AbortController();
    const callback = (): void => stop.abort(new Error("enough"));
    await expect(draw({ signal: stop.signal, callback, numInferenceSteps: 5 })).rejects.toThrow("enough");
    const latents = Tensor.from(new Float32Array(384).fill(NaN), [1, 4, 8, 12]);
    await expect(draw({ latents })).rejects.toThrow(NumericalError);
    latents.dispose();
  });

  test("words of textual inversion are read; pictures as prompts are not", async () => {
    const before = await draw();
    const toy = ramp(-1, 1, [40]);
    await pipeline.loadTextualInversion({ "<toy>": toy });
    toy.dispose();
    const { images } = await pipeline("a photo of a <toy>", { ...SHORT, image, generator: seeded(8) });
    expect(await numbers({ images })).not.toEqual(before);
    await pipeline.unloadTextualInversion("<toy>");
    expect(await draw()).toEqual(before);
    await expect(pipeline.loadIpAdapter()).rejects.toThrow("this pipeline takes no pictures as prompts");
  });

  test("in float16 the VAE is float32, as its config says, and it draws nearly the same", async () => {
    let half: StableDiffusionUpscalePipeline;
    await warnings(async () => {
      half = await StableDiffusionUpscalePipeline.fromPretrained(await upscaleRepository("x4"), { dtype: "float16" });
    });
    half!.setProgressBarConfig({ disable: true });
    expect([half!.dtype, half!.unet.dtype, half!.vae.dtype]).toEqual(["float16", "float16", "float32"]);
    // Noise that is rounded to halves is another one: a multiple of 16 numbers is drawn alike.
    const options = { ...SHORT, image: picture(8, 8), guidanceScale: 3 };
    const values: Float32Array[] = [];
    for (const each of [pipeline, half!])
      values.push(await numbers(await each(PROMPT, { ...options, generator: seeded(8) })));
    half!.dispose();
    const mean = values[0].reduce((sum, value, i) => sum + Math.abs(value - values[1][i]), 0) / values[0].length;
    expect(mean).toBeGreaterThan(0);
    expect(mean).toBeLessThan(0.02);
  });

  const WRONG: [name: string, options: () => object, message: string][] = [
    ["no picture", () => ({ image: undefined }), "`image` must be a picture { width, height, data }"],
    [
      "two pictures for a prompt",
      () => ({ image: [image, image] }),
      "`prompt` has batch size 1 and `image` has batch size 2",
    ],
    [
      "a fraction of a level",
      () => ({ noiseLevel: 0.5 }),
      "`noiseLevel` must be a whole number from 0 to 350 (max_noise_level), got 0.5",
    ],
    ["a negative level", () => ({ noiseLevel: -1 }), "got -1"],
    ["too much noise", () => ({ noiseLevel: 351 }), "got 351"],
    [
      "latents of a picture",
      () => ({ image: ramp(-1, 1, [1, 4, 8, 12]) }),
      "`image`: a Tensor must have 3 channels, got",
    ],
    ["latents of another size", () => ({ latents: ramp(-1, 1, [1, 4, 8, 8]) }), "`latents` must be [1, 4, 8, 12]"],
    ["a picture of three pixels", () => ({ image: picture(3, 8) }), "`image` is too small: 3x8 pixels"],
    ["three generators", () => ({ generator: [seeded(1), seeded(2), seeded(3)] }), "list of generators of length 3"],
    ["callbackSteps null", () => ({ callbackSteps: null }), "`callbackSteps` must be a positive integer, got null"],
  ];
  for (const [name, options, message] of WRONG)
    test(`refuses ${name}`, async () => {
      const given = options();
      await expect(draw(given)).rejects.toThrow(message);
      for (const each of Object.values(given)) if (each instanceof Tensor) each.dispose();
    });

  test("refuses another UNet, parts of DeepFloyd IF, and schedulers that add no noise", async () => {
    const parts = { ...pipeline.components, max_noise_level: 350 };
    for (const name of ["safety_checker", "watermarker"])
      expect(() => new StableDiffusionUpscalePipeline({ ...parts, [name]: {} })).toThrow(
        `${name} must be null: this pipeline takes that of DeepFloyd IF, which this version does not have`,
      );
    const low_res_scheduler = new FlowMatchEulerDiscreteScheduler() as never;
    const other = new StableDiffusionUpscalePipeline({ ...parts, low_res_scheduler });
    await expect(other(PROMPT, { ...SHORT, image })).rejects.toThrow("cannot add noise to a picture");
    const sd = await StableDiffusionPipeline.fromPretrained(fixturePath("models/repos/sd21"));
    const wrong = new StableDiffusionUpscalePipeline({ ...parts, unet: sd.unet });
    await expect(wrong(PROMPT, { ...SHORT, image })).rejects.toThrow(
      "the UNet must have 7 input channels, 4 of latents and 3 of the picture, got in_channels = 4",
    );
    sd.dispose();
  });

  test("latents need no VAE", async () => {
    const without = StableDiffusionUpscalePipeline.fromPipe(pipeline, { vae: null });
    without.setProgressBarConfig({ disable: true });
    const { images } = await without(PROMPT, { ...SHORT, image: picture(16, 8) });
    expect(images.shape).toEqual([1, 4, 8, 16]);
    images.dispose();
    await expect(without(PROMPT, { ...SHORT, outputType: "image", image })).rejects.toThrow(
      "the component `vae` is missing",
    );
  });

  test("a repository with a watermarker says how to do without", async () => {
    const watermarker = ["deepfloyd_if", "IFWatermarker"];
    const source = await upscaleRepository("x4", "x4", { watermarker });
    await expect(DiffusionPipeline.fromPretrained(source)).rejects.toThrow(
      "watermarker is a deepfloyd_if.IFWatermarker, which this version does not have",
    );
    await warnings(async () => {
      const loaded = await StableDiffusionUpscalePipeline.fromPretrained(source, { watermarker: null });
      expect(loaded.watermarker).toBe(null);
      loaded.dispose();
    });
  });
});

describe("StableDiffusionLatentUpscalePipeline", () => {
  let pipeline: StableDiffusionLatentUpscalePipeline;
  const latents = (): Tensor => IMAGES.latents() as Tensor;
  beforeAll(async () => {
    await testDevice();
    pipeline = await StableDiffusionLatentUpscalePipeline.fromPretrained(await upscaleRepository("x2"));
    pipeline.setProgressBarConfig({ disable: true });
  });
  afterAll(() => pipeline.dispose());
  const draw = async (options: object = {}, prompt: string | null = PROMPT): Promise<Float32Array> => {
    const given = { ...SHORT, image: latents(), generator: seeded(8), ...options };
    try {
      return await numbers((await pipeline(prompt, given as LatentUpscaleOptions)) as unknown as { images: Tensor });
    } finally {
      if (given.image instanceof Tensor) given.image.dispose();
    }
  };

  test("goes on with the latents of another pipeline", async () => {
    const sd = await StableDiffusionPipeline.fromPretrained(fixturePath("models/repos/sd15"));
    sd.setProgressBarConfig({ disable: true });
    const { images: small } = await sd(PROMPT, { ...SHORT, height: 32, width: 64 });
    const { images } = await pipeline(PROMPT, { image: small, numInferenceSteps: 2, guidanceScale: 0 });
    expect([images[0].width, images[0].height]).toEqual([128, 64]);
    for (const each of [small, sd]) each.dispose();
  });

  test("encodePrompt gives what a call takes in place of prompts", async () => {
    const [promptEmbeds, negativePromptEmbeds, pooledPromptEmbeds, negativePooledPromptEmbeds] =
      await pipeline.encodePrompt(PROMPT, { negativePrompt: "blurry" });
    const embeds = { promptEmbeds, negativePromptEmbeds, pooledPromptEmbeds, negativePooledPromptEmbeds };
    expect(await draw(embeds, null)).toEqual(await draw({ negativePrompt: "blurry" }));
    for (const each of Object.values(embeds)) each?.dispose();
    const { pooledPromptEmbeds: pooled, ...others } = givenTensors("x2");
    await expect(draw(others, null)).rejects.toThrow(
      "If `promptEmbeds` are provided, `pooledPromptEmbeds` also have to be passed",
    );
    for (const each of [pooled, ...Object.values(others)]) each.dispose();
  });

  test("fromPipe of another pipeline of its UNet", async () => {
    const text = StableDiffusionPipeline.fromPipe(pipeline as never);
    await expect(text(PROMPT, SHORT)).rejects.toThrow(
      "it takes 8 channels (in_channels) and gives 5; StableDiffusionLatentUpscalePipeline.fromPipe(pipeline) draws with it",
    );
    const own = StableDiffusionLatentUpscalePipeline.fromPipe(text);
    expect(own.unet).toBe(pipeline.unet);
    expect(own.config.scheduler).toEqual(["diffusers", "EulerDiscreteScheduler"]);
  });

  test("takes no schedulers without sigmas, no LoRAs, words and pictures as prompts", async () => {
    const original = pipeline.scheduler;
    pipeline.scheduler = DDPMScheduler.fromConfig(original.config);
    await expect(draw()).rejects.toThrow(
      "a DDPMScheduler has no sigmas, by which the UNet goes; take an EulerDiscreteScheduler",
    );
    pipeline.scheduler = EulerDiscreteScheduler.fromConfig(original.config);
    await expect(pipeline.loadLoraWeights()).rejects.toThrow("takes no LoRA weights");
    await expect(pipeline.loadTextualInversion()).rejects.toThrow("takes no embeddings of textual inversion");
    await expect(pipeline.loadIpAdapter()).rejects.toThrow("takes no pictures as prompts");
    const warned = await warnings(() => draw({ numImagesPerPrompt: 2, eta: 1 }));
    expect(warned.join()).toMatch(/options that a call does not have are ignored: `numImagesPerPrompt`.*`eta`/);
  });

  test("refuses another number of pictures than prompts, and UNets of other widths", async () => {
    await expect(draw({ image: [picture(64, 32), picture(64, 32)] })).rejects.toThrow(
      "`prompt` has batch size 1 and `image` has batch size 2",
    );
    const sd = await StableDiffusionPipeline.fromPretrained(fixturePath("models/repos/sd15"));
    const wrong = StableDiffusionLatentUpscalePipeline.fromPipe(sd);
    const given = latents();
    await expect(wrong(PROMPT, { ...SHORT, image: given })).rejects.toThrow(
      "the UNet must have 8 input channels, 4 of its latents and 4 of the picture's, and give 5, got in_channels = 4 and out_channels = 4",
    );
    for (const each of [given, sd]) each.dispose();
  });
});
