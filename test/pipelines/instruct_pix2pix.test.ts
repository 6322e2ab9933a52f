import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  AutoencoderKL,
  DiffusionPipeline,
  schedulerClass,
  SDCFGCutoffCallback,
  StableDiffusionImg2ImgPipeline,
  StableDiffusionInpaintPipeline,
  StableDiffusionInstructPix2PixPipeline,
  StableDiffusionPipeline,
  StableDiffusionXLInstructPix2PixPipeline,
  StableDiffusionXLPipeline,
  Tensor,
  type ImageInput,
  type InstructPix2PixOptions,
  type XLInstructPix2PixOptions,
} from "../../src/index.js";
import { fixturePath, readFixtureJSON } from "../support/files.js";
import { testDevice } from "../support/gpu.js";
import { withUNet } from "../support/other_unet.js";
import { maskPicture, picture, tensor } from "../support/pictures.js";
import { camelCase, differences } from "../support/pipelines.js";
import { changed } from "../support/repositories.js";
import { dispose, numbers, ramp, seeded, XL_REPO } from "../support/sdxl_pictures.js";
import { warnings } from "../support/warnings.js";

type Edit = StableDiffusionInstructPix2PixPipeline | StableDiffusionXLInstructPix2PixPipeline;
/** What scripts/make_instruct_pix2pix.py wrote. */
interface Goldens {
  runs: {
    pipeline: string;
    scheduler: string;
    image: string;
    options: Record<string, unknown>;
    /** Drawn from the first generator when the call is over. */
    after: number[];
    shape: number[];
    images: number[];
  }[];
  half: { pipeline: string; after: number[]; images: number[] }[];
}
const { runs, half } = await readFixtureJSON<Goldens>("pipelines/instruct_pix2pix.json");

const SD = "StableDiffusionInstructPix2PixPipeline";
const XL = "StableDiffusionXLInstructPix2PixPipeline";
const LATENTS = [1, 4, 4, 6];
const IMAGES: Record<string, () => ImageInput | ImageInput[]> = {
  "48x32": () => picture(48, 32),
  "53x37": () => picture(53, 37),
  two: () => [picture(48, 32), picture(53, 37)],
  tensor: () => tensor(50, 34, "nchw"),
  latents: () => ramp(-2, 2, LATENTS),
};
const repository = (className: string, more: object = {}): ReturnType<typeof withUNet> =>
  withUNet(className === XL ? "sdxl" : "sd15", {
    index: { _class_name: className, ...more },
    unet: { in_channels: 8 },
  });
const size = { height: 32, width: 48 };

describe("InstructPix2Pix", () => {
  const pipelines = {} as Record<string, Edit>;
  let sd: StableDiffusionInstructPix2PixPipeline;
  let xl: StableDiffusionXLInstructPix2PixPipeline;
  let cosxl: StableDiffusionXLInstructPix2PixPipeline;
  beforeAll(async () => {
    await testDevice();
    sd = await DiffusionPipeline.fromPretrained(await repository(SD));
    xl = await DiffusionPipeline.fromPretrained(await repository(XL));
    cosxl = StableDiffusionXLInstructPix2PixPipeline.fromPipe(xl, { is_cosxl_edit: true });
    Object.assign(pipelines, { [SD]: sd, [XL]: xl });
    for (const each of [sd, xl, cosxl]) each.setProgressBarConfig({ disable: true });
  });
  afterAll(() => {
    for (const each of Object.values(pipelines)) each.dispose();
  });

  for (const [i, { pipeline: name, scheduler, image, options, after, shape, images: wanted }] of runs.entries())
    test(`${i}: ${name}, ${scheduler}, ${image}, ${JSON.stringify(options)}, as diffusers`, async () => {
      const { prompt = "a photo of a cat", seeds, cosxl: isCosXL, vae: moments, ...given } = options;
      let pipeline = isCosXL === true ? cosxl : pipelines[name];
      let other: AutoencoderKL | undefined;
      if (moments) {
        const config = await AutoencoderKL.loadConfig(XL_REPO, { subfolder: "vae" });
        const source = await changed(XL_REPO, { "vae/config.json": { ...config, ...moments } });
        other = await AutoencoderKL.fromPretrained(source, { subfolder: "vae" });
        pipeline = StableDiffusionXLInstructPix2PixPipeline.fromPipe(pipeline, { vae: other });
        pipeline.setProgressBarConfig({ disable: true });
      }
      const original = pipeline.scheduler;
      pipeline.scheduler = schedulerClass(scheduler).fromConfig(original.config);
      const named = Object.entries(given).map(([key, value]) => [
        camelCase(key),
        value === true ? ramp(2, -2, LATENTS) : value,
      ]);
      const generators = ((seeds as number[] | undefined) ?? [8]).map(seeded);
      const call = {
        ...{ numInferenceSteps: 5, outputType: "latent", generator: seeds ? generators : generators[0] },
        ...(name === XL ? size : {}),
        ...(Object.fromEntries(named) as object),
        image: IMAGES[image](),
      } as InstructPix2PixOptions & { outputType: "latent" };
      const { images } = await (pipeline as typeof sd)(prompt as string, call);
      expect(images.shape).toEqual(shape);
      // As in test/pipelines/stable_diffusion.test.ts; pictures to 1/255.
      const tolerance = options.output_type === "np" ? 1 / 255 : 1e-3;
      expect(differences(await numbers({ images }), wanted).worst).toBeLessThan(tolerance);
      expect(differences(generators[0].randn([4]), after).worst).toBeLessThan(1e-4);
      pipeline.scheduler = original;
      other?.dispose();
      dispose(call);
    });

  for (const golden of half)
    test(`${golden.pipeline} in float16, as diffusers`, async () => {
      const source = await repository(golden.pipeline);
      const pipeline = await DiffusionPipeline.fromPretrained<typeof sd>(source, { dtype: "float16" });
      pipeline.setProgressBarConfig({ disable: true });
      pipeline.scheduler = schedulerClass("DDIMScheduler").fromConfig(pipeline.scheduler.config);
      const generator = seeded(8);
      const call = { image: picture(48, 32), numInferenceSteps: 5, outputType: "latent", generator } as const;
      const got = await numbers(await pipeline("a photo of a cat", { ...call, ...(golden.pipeline === XL && size) }));
      pipeline.dispose();
      // Both round differently on the way, as in test/support/sdxl_pictures.ts.
      expect(differences(got, golden.images).mean).toBeLessThan(0.05);
      expect(differences(generator.randn([4]), golden.after).worst).toBeLessThan(1e-4);
    });

  const one = (): { image: ImageInput; numInferenceSteps: number } => ({
    image: picture(48, 32),
    numInferenceSteps: 3,
  });
  const draw = async (options: object = {}): Promise<Float32Array> =>
    numbers(await sd("a cat", { ...one(), generator: seeded(8), ...options, outputType: "latent" }));

  test("a callback gets the picture's latents, and gives others; guidance may end", async () => {
    const as = await draw();
    const seen: string[] = [];
    const names = ["prompt_embeds", "image_latents"] as const;
    const others = await draw({
      callbackOnStepEndTensorInputs: names,
      callbackOnStepEnd: (_: unknown, step: number, __: number, tensors: Record<string, Tensor>) => {
        for (const name of names) seen.push(`${name} ${String(tensors[name].shape)}`);
        return step === 0 ? { image_latents: ramp(-1, 1, [3, 4, 4, 6]) } : {};
      },
    });
    expect(seen.slice(0, 2)).toEqual(["prompt_embeds 3,77,32", "image_latents 3,4,4,6"]);
    expect(others).not.toEqual(as);
    // Rows of the prompt and the picture come first, and are enough without guidance: whether a callback returns them or not.
    const end = (alone: boolean): Promise<Float32Array> =>
      draw({
        callbackOnStepEndTensorInputs: names,
        callbackOnStepEnd: async (of: Edit, step: number, _: number, tensors: Record<string, Tensor>) => {
          if (step !== 0) return {};
          if (alone) of.imageGuidanceScale = 0;
          else of.guidanceScale = 1;
          expect(of.doClassifierFreeGuidance).toBe(false);
          const first = async (all: Tensor): Promise<Tensor> => {
            const values = (await all.data()) as Float32Array;
            return Tensor.from(values.slice(0, values.length / 3), [1, ...all.shape.slice(1)]);
          };
          const { prompt_embeds: embeds, image_latents: picture } = tensors;
          const prompt_embeds = await first(embeds);
          return alone ? { prompt_embeds, image_latents: await first(picture) } : { prompt_embeds };
        },
      });
    expect(await end(false)).toEqual(await end(true));
    expect(await end(true)).not.toEqual(as);
    expect(await draw({ callbackOnStepEnd: new SDCFGCutoffCallback({ cutoffStepIndex: 0 }) })).toEqual(await end(true));
    const scale = draw({ callbackOnStepEnd: (of: Edit) => void (of.imageGuidanceScale = Infinity) });
    await expect(scale).rejects.toThrow("`imageGuidanceScale` must be a finite number, got Infinity");
  });

  test("XL's callback gets what goes with the prompts, too", async () => {
    const seen: string[] = [];
    await xl("a cat", {
      ...{ ...one(), ...size, numInferenceSteps: 1 },
      callbackOnStepEndTensorInputs: ["image_latents", "prompt_embeds", "add_text_embeds", "add_time_ids"],
      callbackOnStepEnd: (_, __, ___, tensors) =>
        void Object.entries(tensors).forEach(([name, each]) => seen.push(`${name} ${String((each as Tensor).shape)}`)),
    });
    expect(seen).toEqual([
      "image_latents 3,4,4,6",
      "prompt_embeds 3,77,56",
      "add_text_embeds 3,28",
      "add_time_ids 3,6",
    ]);
  });

  test("memory is what it was, and the same call draws the same; an aborted one leaves nothing", async () => {
    const { device } = sd;
    const results = [await draw(), await draw()];
    expect(results[1]).toEqual(results[0]);
    device.trim();
    const bytes = device.memoryUse.bytes;
    const controller = new AbortController();
    const callbackOnStepEnd = (): void => controller.abort(new Error("enough"));
    await expect(draw({ signal: controller.signal, callbackOnStepEnd })).rejects.toThrow("enough");
    device.trim();
    expect(device.memoryUse.bytes).toBe(bytes);
  });

  test("is_cosxl_edit is kept, of files and through other classes", async () => {
    const text = StableDiffusionXLPipeline.fromPipe(cosxl);
    expect(text.config._is_cosxl_edit).toBe(true);
    const again = StableDiffusionXLInstructPix2PixPipeline.fromPipe(text);
    expect([again, xl].map(({ config }) => config.is_cosxl_edit)).toEqual([true, undefined]);
    // As scripts/make_instruct_pix2pix.py's pipeline writes its own.
    expect(
      Object.keys(xl.config)
        .filter((name) => !(name in xl.components))
        .sort(),
    ).toEqual(["_class_name", "_diffusers_version", "_name_or_path", "force_zeros_for_empty_prompt"]);
    expect(Object.keys(xl.components)).toEqual([
      "vae",
      "text_encoder",
      "text_encoder_2",
      "tokenizer",
      "tokenizer_2",
      "unet",
      "scheduler",
    ]);
    await expect(xl.loadIpAdapter()).rejects.toThrow(`${XL}: takes no pictures as prompts (IP-Adapters)`);
  });

  test("other pipelines say where such a UNet belongs, and these where others do", async () => {
    const name = `${SD}.fromPipe(pipeline) draws with it`;
    const text = StableDiffusionPipeline.fromPipe(sd);
    await expect(text("a cat", size)).rejects.toThrow(`takes 8 channels (in_channels) and gives 4; ${name}`);
    const options = { ...one(), ...size, maskImage: maskPicture(48, 32, [0, 0, 8, 8]) };
    await expect(StableDiffusionImg2ImgPipeline.fromPipe(sd)("a cat", one())).rejects.toThrow(name);
    await expect(StableDiffusionInpaintPipeline.fromPipe(sd)("a cat", options)).rejects.toThrow(
      `must have 4 or 9 input channels, got in_channels = 8; ${name}`,
    );
    await expect(StableDiffusionXLPipeline.fromPipe(xl)("a cat", size)).rejects.toThrow(
      `${XL}.fromPipe(pipeline) draws with it`,
    );
    const base = await StableDiffusionPipeline.fromPretrained(fixturePath("models/repos/sd15"), { vae: sd.vae });
    const plain = StableDiffusionInstructPix2PixPipeline.fromPipe(base);
    await expect(plain("a cat", one())).rejects.toThrow(
      `${SD}: the UNet must take the picture's latents beside those that it draws, 8 channels (in_channels), got 4; ` +
        "StableDiffusionPipeline.fromPipe(pipeline) draws with it",
    );
    for (const each of [base.unet, base.text_encoder]) each.dispose();
  });

  test("a VAE is needed for pictures, and for CosXL's latents, but not for latents", async () => {
    const image = ramp(-2, 2, LATENTS);
    const options = { numInferenceSteps: 1, outputType: "latent" } as const;
    const without = StableDiffusionInstructPix2PixPipeline.fromPipe(sd, { vae: null });
    without.setProgressBarConfig({ disable: true });
    expect(await numbers(await without("a cat", { ...options, image }))).toHaveLength(96);
    await expect(without("a cat", { ...options, image: picture(48, 32) })).rejects.toThrow(
      "the component `vae` is missing; AutoencoderKL or AutoencoderTiny is needed to encode the image",
    );
    await expect(without("a cat", { image })).rejects.toThrow("is needed to decode the latents");
    const edit = StableDiffusionXLInstructPix2PixPipeline.fromPipe(cosxl, { vae: null });
    await expect(edit("a cat", { ...options, ...size, image })).rejects.toThrow("to scale the picture's latents");
    image.dispose();
  });

  test("warns of options that a call does not have", async () => {
    const given = { strength: 0.5, ...size } as object;
    const told = await warnings(() => draw({ ...given, numInferenceSteps: 1 }));
    expect(told.join()).toContain("options that a call does not have are ignored: `strength`");
    expect(told.join()).toContain("`height`");
  });

  const WRONG: [name: string, options: () => Partial<XLInstructPix2PixOptions>, message: string, of?: string][] = [
    ["no image", () => ({ image: undefined }), "`image` must be a picture { width, height, data }"],
    [
      "a scale that is no number",
      () => ({ imageGuidanceScale: NaN }),
      "`imageGuidanceScale` must be a finite number, got NaN",
    ],
    [
      "three pictures for one prompt",
      () => ({ image: [picture(8, 8), picture(8, 8), picture(8, 8)] }),
      "Cannot duplicate `image` of batch size 3 to 1 text prompts.",
    ],
    ["latents of another size", () => ({ latents: ramp(0, 1, [1, 4, 4, 4]) }), "`latents` must be [1, 4, 4, 6] for"],
    [
      "an unknown tensor for the callback",
      () => ({ callbackOnStepEndTensorInputs: ["negative_prompt_embeds"] }),
      "must be of latents, prompt_embeds, image_latents, got",
    ],
    [
      "a picture's latents of another size than what is drawn",
      () => ({ image: ramp(0, 1, [1, 4, 4, 4]) }),
      "`image` must be [1, 4, 4, 6] for these prompts and this size, got [1, 4, 4, 4]",
      XL,
    ],
    ["a height that is no number", () => ({ height: 1.5 }), "`height` must be a positive integer, got 1.5", XL],
  ];
  for (const [title, make, message, of = SD] of WRONG)
    test(`refuses ${title}`, async () => {
      const options = make();
      const call = { ...one(), ...(of === XL && size), ...options } as InstructPix2PixOptions;
      await expect((pipelines[of] as typeof sd)("a cat", call)).rejects.toThrow(message);
      dispose(options);
    });
});
