import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  CLIPImageProcessor,
  CLIPVisionModelWithProjection,
  ControlNetModel,
  DDPMPipeline,
  DDIMScheduler,
  DiffusionPipeline,
  Generator,
  StableDiffusionControlNetPipeline,
  StableDiffusionImg2ImgPipeline,
  StableDiffusionInpaintPipeline,
  type StableDiffusionInstructPix2PixPipeline,
  StableDiffusionPipeline,
  StableDiffusionXLPipeline,
  Tensor,
  type ImagePromptScale,
} from "../../src/index.js";
import { UNetSteps } from "../../src/nn/unet/unet_steps.js";
import { fixturePath } from "../support/files.js";
import { testDevice } from "../support/gpu.js";
import { ipAdapterRepository, readIPAdapterGoldens } from "../support/ip_adapter.js";
import { withUNet } from "../support/other_unet.js";
import { maskPicture, picture } from "../support/pictures.js";
import { camelCase } from "../support/pipelines.js";

const goldens = await readIPAdapterGoldens();
const repository = ipAdapterRepository(goldens);
const encoderFolder = { imageEncoderFolder: "image/encoder" };
const IMAGES: Record<string, ReturnType<typeof picture>> = { "37x30": picture(37, 30), "24x40": picture(24, 40) };
const SIZE = { height: 32, width: 48 };
const mask = maskPicture(48, 32, [10, 5, 40, 30]);

/** Of the most that a number of them may be off, as in all tests of pipelines. */
const TOLERANCE = 1e-3;

const furthest = (a: ArrayLike<number>, b: readonly number[]): number =>
  Math.max(...b.map((x, i) => Math.abs(x - a[i])));

describe("pictures as prompts, as diffusers draws with them", () => {
  let sd: StableDiffusionPipeline;
  let xl: StableDiffusionXLPipeline;
  let net: ControlNetModel;
  let edit: StableDiffusionInstructPix2PixPipeline;
  beforeAll(async () => {
    await testDevice();
    const folder = (name: string): string => fixturePath(`models/repos/${name}`);
    sd = await StableDiffusionPipeline.fromPretrained(folder("sd15"));
    xl = await StableDiffusionXLPipeline.fromPretrained(folder("sdxl"));
    net = await ControlNetModel.fromPretrained(folder("controlnet"));
    const index = { _class_name: "StableDiffusionInstructPix2PixPipeline" };
    edit = await DiffusionPipeline.fromPretrained(await withUNet("sd15", { index, unet: { in_channels: 8 } }));
    for (const pipeline of [sd, xl, edit]) pipeline.scheduler = DDIMScheduler.fromConfig(pipeline.scheduler.config);
  });
  afterAll(() => {
    for (const each of [sd, xl, net, edit]) each.dispose();
  });

  const PIPELINES: Record<string, () => [pipeline: StableDiffusionPipeline, options: object]> = {
    StableDiffusionPipeline: () => [sd, SIZE],
    StableDiffusionImg2ImgPipeline: () => [
      StableDiffusionImg2ImgPipeline.fromPipe(sd) as unknown as StableDiffusionPipeline,
      { image: picture(48, 32) },
    ],
    StableDiffusionInpaintPipeline: () => [
      StableDiffusionInpaintPipeline.fromPipe(sd) as unknown as StableDiffusionPipeline,
      { image: picture(48, 32), maskImage: mask, ...SIZE },
    ],
    StableDiffusionControlNetPipeline: () => [
      StableDiffusionControlNetPipeline.fromPipe(sd, { controlnet: net }) as unknown as StableDiffusionPipeline,
      { image: picture(48, 32), ...SIZE },
    ],
    StableDiffusionInstructPix2PixPipeline: () => [
      edit as unknown as StableDiffusionPipeline,
      { image: picture(48, 32) },
    ],
    StableDiffusionXLPipeline: () => [xl as unknown as StableDiffusionPipeline, SIZE],
  };

  for (const { class: name, adapters, scale, images, options, ...wanted } of goldens.runs)
    test([name, adapters.join(" + "), JSON.stringify([scale, images, options])].join(" "), async () => {
      const [pipeline, own] = PIPELINES[name]();
      pipeline.setProgressBarConfig({ disable: true });
      await pipeline.loadIpAdapter(repository, {
        subfolder: name.includes("XL") ? "sdxl" : "sd15",
        weightName: adapters.map((each) => `${each}.safetensors`),
        ...encoderFolder,
      });
      if (scale !== null) pipeline.setIpAdapterScale(scale as ImagePromptScale | ImagePromptScale[]);
      const { prompts = 1, ...others } = options;
      const { images: latents } = await pipeline(["a photo of a cat", "a dog"].slice(0, prompts), {
        numInferenceSteps: 3,
        outputType: "latent",
        generator: new Generator("cpu").manualSeed(8),
        ipAdapterImage: images.map((each) => each.map((image) => IMAGES[image])),
        ...own,
        ...Object.fromEntries(Object.entries(others).map(([key, value]) => [camelCase(key), value])),
      });
      expect(latents.shape).toEqual(wanted.shape);
      expect(furthest(await latents.data(), wanted.latents)).toBeLessThan(TOLERANCE);
      latents.dispose();
      await pipeline.unloadIpAdapter();
      expect([pipeline.image_encoder, pipeline.unet.ipAdapters.length]).toEqual([null, 0]);
    });

  test("the image encoder's embeddings and hidden states", async () => {
    const device = await testDevice();
    const { encoder } = goldens;
    const model = await CLIPVisionModelWithProjection.fromPretrained(repository, { subfolder: "image/encoder" });
    const processor = new CLIPImageProcessor({ size: 30, crop_size: 30 });
    const { pixelValues } = processor([IMAGES["37x30"], IMAGES["24x40"]], { device });
    const { imageEmbeds, lastHiddenState, hiddenStates } = model.forward(pixelValues, { outputHiddenStates: true });
    expect(hiddenStates.length).toBe(4);
    expect(hiddenStates[3]).toBe(lastHiddenState);
    expect(furthest(await imageEmbeds.data(), encoder.embeds)).toBeLessThan(1e-4);
    expect(furthest(await hiddenStates[2].data(), encoder.states)).toBeLessThan(1e-4);
    for (const each of [pixelValues, imageEmbeds, ...hiddenStates]) each.dispose();
    model.dispose();
  });

  const draw = async (options: object = {}): Promise<number[]> => {
    const generator = new Generator("cpu").manualSeed(8);
    const call = { numInferenceSteps: 3, ...SIZE, generator, ...options, outputType: "latent" } as const;
    const { images } = await sd("a photo of a cat", call);
    const values = Array.from(await images.data());
    images.dispose();
    return values;
  };
  const load = (weightName: string | string[], more: object = {}): Promise<void> =>
    sd.loadIpAdapter(repository, { subfolder: "sd15", weightName, ...encoderFolder, ...more });

  test("nothing is left of them once they are unloaded; embeddings that are kept draw the same as their pictures", async () => {
    const device = await testDevice();
    const plain = await draw();
    device.trim();
    await device.flush();
    const before = device.memoryUse.bytes;
    const image = IMAGES["37x30"];
    for (const name of ["plain.safetensors", "plus.safetensors"]) {
      await load(name); // in place of the one before
      const wanted = await draw({ ipAdapterImage: image });
      const embeds = await sd.prepareIpAdapterImageEmbeds(image);
      expect(await draw({ ipAdapterImageEmbeds: embeds })).toEqual(wanted);
      const alone = await sd.prepareIpAdapterImageEmbeds(image, { doClassifierFreeGuidance: false });
      expect([embeds, alone].map(([x]) => x.shape.slice(0, 2))).toEqual([
        [2, 1],
        [1, 1],
      ]);
      const unguided = { guidanceScale: 1, ipAdapterImageEmbeds: alone };
      expect(await draw(unguided)).toEqual(await draw({ guidanceScale: 1, ipAdapterImage: image }));
      await expect(draw({ ...unguided, guidanceScale: 2 })).rejects.toThrow(
        "must have 2 rows for a call of 1 pictures",
      );
      for (const each of [...embeds, ...alone]) each.dispose();
    }
    await sd.unloadIpAdapter();
    expect(await draw()).toEqual(plain);
    device.trim();
    await device.flush();
    expect(device.memoryUse.bytes).toBe(before);
  });

  test("pictures have a row for each branch of InstructPix2Pix: with the prompt, and of none twice", async () => {
    const image = IMAGES["37x30"];
    await edit.loadIpAdapter(repository, { subfolder: "sd15", weightName: "plain.safetensors", ...encoderFolder });
    const embeds = await edit.prepareIpAdapterImageEmbeds(image);
    expect(embeds.map(({ shape }) => shape)).toEqual([[3, 1, 24]]);
    const values = await embeds[0].data();
    expect([0, 24, 48].map((from) => values.slice(from, from + 24).some((x) => x !== 0))).toEqual([true, false, false]);
    const of = async (more: object): Promise<ArrayLike<number>> => {
      const generator = new Generator("cpu").manualSeed(8);
      const { images } = await edit("a cat", {
        ...{ image: picture(48, 32), numInferenceSteps: 2, generator, outputType: "latent" as const },
        ...more,
      });
      const drawn = await images.data();
      images.dispose();
      return drawn;
    };
    // diffusers' pipeline passes over embeddings that are given, and its UNet then fails.
    expect(await of({ ipAdapterImageEmbeds: embeds })).toEqual(await of({ ipAdapterImage: image }));
    embeds[0].dispose();
    await edit.unloadIpAdapter();
  });

  test("nothing stays allocated where pictures cannot be read, or fit another adapter", async () => {
    const device = await testDevice();
    const image = IMAGES["37x30"];
    const { plain } = goldens.files.sd15;
    const wide = { ...plain, "image_proj.proj.weight": [plain["image_proj.proj.weight"][0], 25] };
    const sources = [repository, ipAdapterRepository({ ...goldens, files: { ...goldens.files, sd15: { wide } } })];
    await sd.loadIpAdapter(sources, {
      ...{ subfolder: "sd15", weightName: ["plus.safetensors", "wide.safetensors"] },
      ...encoderFolder,
    });
    const used = async (work: () => Promise<unknown>, message: string): Promise<number> => {
      await expect(work()).rejects.toThrow(message);
      device.trim();
      await device.synchronize();
      return device.memoryUse.bytes;
    };
    const draws = (pictures: unknown) => () => draw({ ipAdapterImage: pictures });
    const wrongWidth = "imageEmbeds of this IP-Adapter must be [2, pictures, 25], got [2, 1, 24]";
    const before = await used(draws([image, image]), wrongWidth);
    expect(await used(draws([image, image]), wrongWidth)).toBe(before);
    expect(await used(draws([image, "cat.png"]), "CLIPImageProcessor: takes a picture")).toBe(before);
    for (const numImagesPerPrompt of [0, -1, 1.5, NaN])
      await expect(sd.prepareIpAdapterImageEmbeds([image, image], { numImagesPerPrompt })).rejects.toThrow(
        "`numImagesPerPrompt` must be a positive integer",
      );
    await sd.unloadIpAdapter();
  });

  test("pipelines that share the image encoder draw on when one of them has freed it", async () => {
    await load("plain.safetensors");
    const other = StableDiffusionPipeline.fromPipe(sd);
    await sd.unloadIpAdapter();
    const { images } = await other("a cat", { numInferenceSteps: 1, ...SIZE, outputType: "latent" });
    images.dispose();
    expect(other.image_encoder).toBe(null);
    await load("plain.safetensors");
    const call = other("a cat", { numInferenceSteps: 1, ...SIZE, ipAdapterImage: IMAGES["37x30"] });
    await expect(call).rejects.toThrow("the component `image_encoder` is missing");
    await sd.unloadIpAdapter();
  });

  test("a scale that a callback changes, and guidance that it ends, count from the next step on", async () => {
    await load("plain.safetensors");
    const image = IMAGES["37x30"];
    const full = await draw({ ipAdapterImage: image });
    const less = async (change: () => void): Promise<number[]> => {
      const drawn = await draw({
        ipAdapterImage: image,
        callbackOnStepEnd: (_: unknown, step: number) => void (step === 0 && change()),
      });
      sd.setIpAdapterScale(1);
      return drawn;
    };
    expect(furthest(await less(() => sd.setIpAdapterScale(0.5)), full)).toBeGreaterThan(0.01);
    expect(await less(() => undefined)).toEqual(full);
    const cut = async (
      pipeline: StableDiffusionPipeline,
      step: number,
      _: number,
      { prompt_embeds: both }: { prompt_embeds?: Tensor },
    ) => {
      if (step !== 0) return {};
      pipeline.guidanceScale = 0;
      const [, tokens, width] = both!.shape;
      const values = (await both!.data()) as Float32Array;
      return { prompt_embeds: Tensor.from(values.slice(values.length / 2), [1, tokens, width]) };
    };
    const ended = { callbackOnStepEnd: cut, callbackOnStepEndTensorInputs: ["prompt_embeds"] };
    expect(furthest(await draw({ ipAdapterImage: image, ...ended }), full)).toBeGreaterThan(0.01);
    await sd.unloadIpAdapter();
  });

  test("pipelines without a prompt take none", async () => {
    const pipeline = await DDPMPipeline.fromPretrained(fixturePath("models/repos/ddpm-cifar"));
    await expect(pipeline.loadIpAdapter(repository)).rejects.toThrow(
      "DDPMPipeline.loadIpAdapter: not supported: this pipeline takes no pictures as prompts",
    );
    pipeline.dispose();
  });

  test("wrong files, pictures and scales are refused, and the UNet is as before", async () => {
    const image = IMAGES["37x30"];
    await expect(draw({ ipAdapterImage: image })).rejects.toThrow(
      "`ipAdapterImage` needs an IP-Adapter: `await pipeline.load",
    );
    expect(() => sd.setIpAdapterScale(1)).toThrow("Cannot assign 1 scale_configs to 0 IP-Adapter.");
    await expect(load("missing.safetensors")).rejects.toThrow("made adapters has no sd15/missing.safetensors");
    await expect(
      load(["plain.safetensors", "plus.safetensors"], { subfolder: ["sd15", "sd15", "sd15"] }),
    ).rejects.toThrow("StableDiffusionPipeline.loadIpAdapter: weightName must be one or 3 as the others");
    const other = { subfolder: "sdxl", weightName: "plain.safetensors", ...encoderFolder };
    await expect(sd.loadIpAdapter(repository, other)).rejects.toThrow(
      "IP-Adapter: the weights in sdxl/plain.safetensors do not fit",
    );
    await expect(load("plain.safetensors", { imageEncoderFolder: "no/where" })).rejects.toThrow("no/where/config.json");
    expect([sd.unet.ipAdapters.length, sd.image_encoder]).toEqual([0, null]);
    await load("plain.safetensors");
    await expect(draw()).rejects.toThrow("the UNet has IP-Adapters (1), which take pictures: give `ipAdapterImage`");
    const [x, prompt] = [
      [1, 4, 8, 8],
      [1, 7, 32],
    ].map((shape) => Tensor.from(new Float32Array(shape.reduce((a, b) => a * b)), shape, { device: sd.device }));
    const steps = new UNetSteps(sd.unet, sd.device);
    for (const work of [() => sd.unet.forward(x, 1, prompt), () => steps.predict(x, 1, prompt)])
      expect(work).toThrow("UNet2DConditionModel: has 1 IP-Adapters, each of which takes pictures in addedCondKwargs");
    steps.dispose();
    for (const tensor of [x, prompt]) tensor.dispose();
    await expect(draw({ ipAdapterImage: [image, image] })).rejects.toThrow(
      "`ipAdapterImage` must have same length as the number of IP Adapters. Got 2 and 1 IP Adapters.",
    );
    await expect(draw({ ipAdapterImage: "cat.png" })).rejects.toThrow("CLIPImageProcessor: takes a picture");
    await expect(draw({ ipAdapterImage: image, ipAdapterImageEmbeds: [] })).rejects.toThrow(
      "Provide either `ipAdapterImage`",
    );
    await expect(draw({ ipAdapterImageEmbeds: [3] })).rejects.toThrow("has to be a list of 3D or 4D tensors");
    for (const [scale, message] of [
      [[1, 1], "Cannot assign 2 scale_configs to 1 IP-Adapter."],
      ["much", 'a scale must be a number or { down, mid, up }, got "much"'],
      [{ side: 1 }, "Can't set the scale for layer side."],
      [{ up: { block_0: 1 } }, "Can't set the scale for layer up.block_0."],
      [{ up: { block_1: [1, 1] } }, "Expected 3 scales for up.block_1, got 2."],
      [{ down: NaN }, "down.block_0 must be a finite number, got NaN"],
    ] as [ImagePromptScale, string][])
      expect(() => sd.setIpAdapterScale(scale)).toThrow(message);
    await sd.unloadIpAdapter();
  });
});
