/** What the pipelines of pictures' embeddings refuse, and how their parts are replaced; test/pipelines/unclip.test.ts has what they draw. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  DDPMScheduler,
  NumericalError,
  RePaintScheduler,
  StableDiffusionImageVariationPipeline,
  StableDiffusionPipeline,
  StableUnCLIPImg2ImgPipeline,
  StableUnCLIPPipeline,
  Tensor,
  type EncodedImage,
  type ImageVariationOptions,
  type UnCLIPImg2ImgOptions,
} from "../../src/index.js";
import { fixturePath } from "../support/files.js";
import { testDevice } from "../support/gpu.js";
import { picture } from "../support/pictures.js";
import { numbers, ramp, seeded } from "../support/sdxl_pictures.js";
import { givenTensors, unclipRepository, WIDTH } from "../support/unclip.js";
import { warnings } from "../support/warnings.js";

const SHORT = { numInferenceSteps: 1, height: 16, width: 24, outputType: "latent" } as const;
const image = picture(37, 30);
const prompt = "a photo of a cat";

/** Of wrong calls. */
type Wrong = [name: string, given: () => { image?: unknown; [option: string]: unknown }, message: string];

const disposeAll = (given: object): void => {
  for (const each of Object.values(given)) if (each instanceof Tensor) each.dispose();
};

describe("StableDiffusionImageVariationPipeline", () => {
  let pipeline: StableDiffusionImageVariationPipeline;
  beforeAll(async () => {
    await testDevice();
    pipeline = await StableDiffusionImageVariationPipeline.fromPretrained(await unclipRepository("variation"));
    pipeline.setProgressBarConfig({ disable: true });
  });
  afterAll(() => pipeline.dispose());
  const draw = async (given: ImageVariationOptions = {}, of: EncodedImage = image): Promise<Float32Array> =>
    numbers((await pipeline(of, { ...SHORT, generator: seeded(8), ...given })) as unknown as { images: Tensor });

  test("a processor's pixels are what a picture is", async () => {
    const { pixelValues } = pipeline.feature_extractor!(image);
    expect(await draw({}, pixelValues)).toEqual(await draw());
    pixelValues.dispose();
  });

  test("says of itself what diffusers' says", () => {
    const { _name_or_path, ...config } = pipeline.config;
    expect(config).toEqual({
      _class_name: "StableDiffusionImageVariationPipeline",
      _diffusers_version: "0.42.1",
      feature_extractor: ["transformers", "CLIPImageProcessor"],
      image_encoder: ["transformers", "CLIPVisionModelWithProjection"],
      requires_safety_checker: false,
      safety_checker: [null, null],
      scheduler: ["diffusers", "PNDMScheduler"],
      unet: ["diffusers", "UNet2DConditionModel"],
      vae: ["diffusers", "AutoencoderKL"],
    });
  });

  test("the callback is called after each step, and no warning says that it is old", async () => {
    const seen: string[] = [];
    const callback = (i: number, t: number, x: Tensor): void => void seen.push(`${i} ${t} ${x.shape}`);
    expect(await warnings(() => draw({ callback, callbackSteps: 2, numInferenceSteps: 3 }))).toEqual([]);
    // PNDM's schedule has a first step of its own, which does not count.
    const { timesteps } = pipeline.scheduler;
    expect(seen).toEqual([2].map((i) => `${i} ${timesteps[i]} 1,4,2,3`));
    const odd = await warnings(() => draw({ prompt } as object));
    expect(odd.join()).toContain("options that a call does not have are ignored: `prompt`");
  });

  test("numbers that are none are an error that says whose", async () => {
    const pixels = Tensor.from(new Float32Array(2700).fill(NaN), [1, 3, 30, 30]);
    await expect(draw({}, pixels)).rejects.toThrow(NumericalError);
    await expect(draw({}, pixels)).rejects.toThrow("image_encoder: numbers are infinite or NaN");
    pixels.dispose();
  });

  const WRONG: Wrong[] = [
    ["no picture", () => ({ image: null }), "`image` must be a picture { width, height, data }"],
    ["no pictures", () => ({ image: [] }), "got an empty list"],
    ["a list of tensors", () => ({ image: [[1]] }), "`image` must be a picture"],
    ["pixels of another shape", () => ({ image: ramp(-1, 1, [3, 30, 30]) }), "or a Tensor [batch, 3, size, size]"],
    ["pixels of another size", () => ({ image: ramp(-1, 1, [1, 3, 20, 20]) }), "takes pictures of 30x30 pixels"],
    ["a height of 12", () => ({ height: 12 }), "have to be divisible by 8 but are 12 and 24"],
    ["callbackSteps null", () => ({ callbackSteps: null }), "`callbackSteps` must be a positive integer, got null"],
    ["few latents", () => ({ latents: ramp(-1, 1, [1, 4, 2, 2]) }), "`latents` must be [1, 4, 2, 3]"],
    ["three generators", () => ({ generator: [1, 2, 3].map(seeded) }), "list of generators of length 3"],
  ];
  for (const [name, given, message] of WRONG)
    test(`refuses ${name}`, async () => {
      const { image: of = image, ...options } = given();
      await expect(draw(options as ImageVariationOptions, of as EncodedImage)).rejects.toThrow(message);
      disposeAll({ of, ...options });
    });

  test("refuses parts that do not go together, and takes no LoRAs, words and pictures as prompts", async () => {
    const without = StableDiffusionImageVariationPipeline.fromPipe(pipeline, { feature_extractor: null });
    await expect(without(image, SHORT)).rejects.toThrow("the component `feature_extractor` is missing");
    const sd = await StableDiffusionPipeline.fromPretrained(fixturePath("models/repos/sd21"));
    const wrong = StableDiffusionImageVariationPipeline.fromPipe(pipeline, { unet: sd.unet });
    await expect(wrong(image, SHORT)).rejects.toThrow(
      `the UNet reads tokens of 40 numbers (cross_attention_dim), and the image encoder gives ${WIDTH} (projection_dim)`,
    );
    sd.dispose();
    await expect(pipeline.loadLoraWeights()).rejects.toThrow("takes no LoRA weights");
    await expect(pipeline.loadTextualInversion()).rejects.toThrow("takes no embeddings of textual inversion");
    for (const call of [pipeline.loadIpAdapter(), pipeline.unloadIpAdapter()])
      await expect(call).rejects.toThrow("takes no pictures as prompts");
  });
});

describe("StableUnCLIPImg2ImgPipeline", () => {
  let pipeline: StableUnCLIPImg2ImgPipeline;
  beforeAll(async () => {
    await testDevice();
    pipeline = await StableUnCLIPImg2ImgPipeline.fromPretrained(await unclipRepository("img2img"));
    pipeline.setProgressBarConfig({ disable: true });
  });
  afterAll(() => pipeline.dispose());
  const draw = async (given: UnCLIPImg2ImgOptions = {}, of: EncodedImage | null = image): Promise<Float32Array> =>
    numbers(
      (await pipeline(of, { ...SHORT, prompt, generator: seeded(8), ...given })) as unknown as { images: Tensor },
    );

  test("the image encoder's embeddings are what a picture is, and noise is added to them first", async () => {
    const { pixelValues } = pipeline.feature_extractor!(image);
    const { imageEmbeds, lastHiddenState } = pipeline.image_encoder!.forward(pixelValues);
    const options = { noiseLevel: 20, generator: seeded(8) };
    expect(await draw({ imageEmbeds, noiseLevel: 20 }, null)).toEqual(await draw({ noiseLevel: 20 }));
    const noised = await pipeline.noiseImageEmbeddings(imageEmbeds, 20, options);
    expect(noised.shape).toEqual([1, 2 * WIDTH]);
    const noise = Tensor.from(seeded(8).randn([1, WIDTH]), [1, WIDTH]);
    const again = await pipeline.noiseImageEmbeddings(imageEmbeds, 20, { noise });
    expect(await again.data()).toEqual(await noised.data());
    for (const each of [pixelValues, imageEmbeds, lastHiddenState, noised, noise, again]) each.dispose();
  });

  test("its second scheduler may be another one", async () => {
    expect(pipeline.config.image_noising_scheduler).toEqual(["diffusers", "DDPMScheduler"]);
    const original = pipeline.image_noising_scheduler;
    pipeline.image_noising_scheduler = DDPMScheduler.fromConfig(original.config, { num_train_timesteps: 5 });
    await expect(draw({ noiseLevel: 5 })).rejects.toThrow("must be a whole number between 0 and 4, inclusive, got 5");
    pipeline.image_noising_scheduler = null as never;
    await expect(draw()).rejects.toThrow(
      "the component `image_noising_scheduler` is missing; Scheduler is needed to add noise to embeddings of pictures",
    );
    pipeline.image_noising_scheduler = original;
  });

  test("words of textual inversion are read; pictures as prompts are not, and clipSkip is nothing here", async () => {
    const before = await draw();
    const toy = ramp(-1, 1, [40]);
    await pipeline.loadTextualInversion({ "<toy>": toy });
    toy.dispose();
    expect(await draw({ prompt: "a photo of a <toy>" })).not.toEqual(before);
    await pipeline.unloadTextualInversion("<toy>");
    expect(await draw()).toEqual(before);
    for (const call of [pipeline.loadIpAdapter(), pipeline.unloadIpAdapter()])
      await expect(call).rejects.toThrow("takes no pictures as prompts");
    expect((await warnings(() => draw({ clipSkip: 1 } as object))).join()).toContain("are ignored: `clipSkip`");
  });

  test("a signal ends a call", async () => {
    const stop = new AbortController();
    const callback = (): void => stop.abort(new Error("enough"));
    await expect(draw({ signal: stop.signal, callback, numInferenceSteps: 5 })).rejects.toThrow("enough");
  });

  const embeds = (): Tensor => givenTensors(["image_embeds"]).image_embeds;
  const WRONG: Wrong[] = [
    [
      "a picture and embeddings",
      () => ({ imageEmbeds: embeds() }),
      "Provide either `image` or `imageEmbeds`. Please make sure to define only one of the two.",
    ],
    ["neither", () => ({ image: null }), "Cannot leave both `image` and `imageEmbeds` undefined."],
    [
      "embeddings of one axis",
      () => ({ image: null, imageEmbeds: ramp(-1, 1, [WIDTH]) }),
      "`imageEmbeds` must be a Tensor [pictures, width]",
    ],
    [
      "embeddings of another width",
      () => ({ image: null, imageEmbeds: ramp(-1, 1, [1, WIDTH - 1]) }),
      `the UNet must be told of pictures' embeddings, ${2 * WIDTH - 2} numbers`,
    ],
    [
      "two pictures for a prompt",
      () => ({ image: [image, image] }),
      "`prompt` has batch size 1 and `image` (or `imageEmbeds`) has batch size 2",
    ],
    [
      "a list of one for two prompts",
      () => ({ image: [image], prompt: [prompt, prompt] }),
      "has batch size 1: give one picture",
    ],
    [
      "a fraction of a level",
      () => ({ noiseLevel: 0.5 }),
      "`noiseLevel` must be a whole number between 0 and 999, inclusive, got 0.5",
    ],
    ["a negative level", () => ({ noiseLevel: -1 }), "got -1"],
    ["too much noise", () => ({ noiseLevel: 1000 }), "got 1000"],
    ["a prompt twice", () => givenTensors(["prompt_embeds"]), "Cannot forward both `prompt` and `promptEmbeds`"],
    ["a width of 12", () => ({ width: 12 }), "have to be divisible by 8 but are 16 and 12"],
    ["latents for two", () => ({ latents: ramp(-1, 1, [2, 4, 4, 6]) }), "`latents` must be [1, 4, height, width]"],
  ];
  for (const [name, given, message] of WRONG)
    test(`refuses ${name}`, async () => {
      const { image: of = image, ...options } = given();
      await expect(draw(options as UnCLIPImg2ImgOptions, of as EncodedImage)).rejects.toThrow(message);
      disposeAll(options);
    });

  test("refuses UNets that are not told of pictures, and schedulers that add no noise", async () => {
    const sd = await StableDiffusionPipeline.fromPretrained(fixturePath("models/repos/sd21"));
    const wrong = StableUnCLIPImg2ImgPipeline.fromPipe(pipeline, { unet: sd.unet });
    await expect(wrong(image, { ...SHORT, prompt })).rejects.toThrow(
      'class_embed_type "projection" and projection_class_embeddings_input_dim, got null and null',
    );
    sd.dispose();
    const image_noising_scheduler = new RePaintScheduler() as never;
    const other = StableUnCLIPImg2ImgPipeline.fromPipe(pipeline, { image_noising_scheduler });
    await expect(other(image, { ...SHORT, prompt })).rejects.toThrow("DDPMScheduler.addNoise()");
  });
});

describe("StableUnCLIPPipeline", () => {
  let pipeline: StableUnCLIPPipeline;
  const few = { ...SHORT, priorNumInferenceSteps: 2 };
  beforeAll(async () => {
    await testDevice();
    pipeline = await StableUnCLIPPipeline.fromPretrained(await unclipRepository("text"));
    pipeline.setProgressBarConfig({ disable: true });
  });
  afterAll(() => pipeline.dispose());

  test("made of a repository for pictures, with a prior given", async () => {
    const { unet, vae, text_encoder, image_normalizer, ...parts } = pipeline.components;
    const source = await unclipRepository("img2img");
    const given = { ...parts, unet, vae, text_encoder, image_normalizer };
    const own = await StableUnCLIPPipeline.fromPretrained(source, given);
    expect([own.prior, own.unet]).toEqual([pipeline.prior, unet]);
    await expect(StableUnCLIPPipeline.fromPretrained(source)).rejects.toThrow(
      "components prior_tokenizer, prior_text_encoder, prior, prior_scheduler are missing",
    );
  });

  test("the prior's steps are told to the callback, too, and a signal ends them", async () => {
    const seen: string[] = [];
    const callback = (i: number, _: number, x: Tensor): void => void seen.push(`${i} ${x.shape}`);
    const { images } = await pipeline(prompt, { ...few, callback });
    images.dispose();
    expect(seen).toEqual([`0 1,${WIDTH}`, `1 1,${WIDTH}`, "0 1,4,4,6"]);
    const stop = new AbortController();
    const abort = (): void => stop.abort(new Error("enough"));
    await expect(pipeline(prompt, { ...few, callback: abort, signal: stop.signal })).rejects.toThrow("enough");
    const priorLatents = Tensor.from(new Float32Array(WIDTH).fill(NaN), [1, WIDTH]);
    await expect(pipeline(prompt, { ...few, priorLatents })).rejects.toThrow(
      "prior, step 0: numbers are infinite or NaN",
    );
    priorLatents.dispose();
  });

  const WRONG: Wrong[] = [
    ["no prompt", () => ({ prompt: null }), "Provide either `prompt` or `promptEmbeds`"],
    [
      "no steps of the prior",
      () => ({ priorNumInferenceSteps: 0 }),
      "`priorNumInferenceSteps` must be a positive integer, got 0",
    ],
    [
      "no scale of the prior",
      () => ({ priorGuidanceScale: NaN }),
      "`priorGuidanceScale` must be a finite number, got NaN",
    ],
    [
      "few latents of the prior",
      () => ({ priorLatents: ramp(-1, 1, [1, WIDTH - 1]) }),
      `\`priorLatents\` must be [1, ${WIDTH}]`,
    ],
    ["two generators", () => ({ generator: [seeded(1), seeded(2)] }), "list of generators of length 2"],
    ["a level of noise that is none", () => ({ noiseLevel: 1000 }), "between 0 and 999, inclusive, got 1000"],
  ];
  for (const [name, given, message] of WRONG)
    test(`refuses ${name}`, async () => {
      const { prompt: text = prompt, ...options } = given();
      await expect(pipeline(text as string, { ...few, ...options })).rejects.toThrow(message);
      disposeAll(options);
    });

  test("refuses one scheduler for both loops, and no prior", async () => {
    const one = StableUnCLIPPipeline.fromPipe(pipeline, { prior_scheduler: pipeline.scheduler });
    await expect(one(prompt, few)).rejects.toThrow("scheduler and prior_scheduler must be two objects");
    const none = StableUnCLIPPipeline.fromPipe(pipeline, { prior: null });
    await expect(none(prompt, few)).rejects.toThrow("the component `prior` is missing; PriorTransformer is needed");
  });
});
