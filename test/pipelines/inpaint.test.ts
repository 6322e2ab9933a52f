import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  Generator,
  requestDevice,
  schedulerClass,
  StableDiffusionImg2ImgPipeline,
  StableDiffusionInpaintPipeline,
  StableDiffusionPipeline,
  Tensor,
  UNet2DConditionModel,
  type InpaintOptions,
  type RawImage,
} from "../../src/index.js";
import { fixturePath, readFixtureJSON } from "../support/files.js";
import { testDevice } from "../support/gpu.js";
import { maskPicture, picture, pixels, tensor } from "../support/pictures.js";
import { camelCase, differences } from "../support/pipelines.js";

/** What scripts/make_inpaint.py wrote. */
interface Run {
  model: "sd15" | "inpaint";
  scheduler: string;
  image: string;
  mask: string;
  options: Record<string, unknown>;
  shape: number[];
  /** Drawn from the first generator when the call is over. */
  after: number[];
  latents: number[];
}
const { runs } = await readFixtureJSON<{ runs: Run[] }>("pipelines/inpaint.json");

const BOX = [8, 0, 40, 25];
const ramp = (from: number, to: number, shape: number[]): Tensor => {
  const size = shape.reduce((a, b) => a * b, 1);
  return Tensor.from(
    Float32Array.from({ length: size }, (_, i) => from + ((to - from) * i) / (size - 1)),
    shape,
  );
};
const IMAGES: Record<string, () => InpaintOptions["image"]> = {
  "48x32": () => picture(48, 32),
  "61x45": () => picture(61, 45),
  two: () => [picture(48, 32), picture(61, 45)],
  tensor: () => tensor(50, 34, "nchw"),
  latents: () => ramp(-2, 2, [1, 4, 4, 6]),
};
const MASKS: Record<string, () => InpaintOptions["maskImage"]> = {
  "48x32": () => maskPicture(48, 32, BOX),
  "61x45 rgb": () => maskPicture(61, 45, BOX, 3),
  two: () => [maskPicture(48, 32, BOX), maskPicture(48, 32, [0, 16, 20, 32])],
  tensor: () =>
    Tensor.from(
      Float32Array.from(maskPicture(50, 34, BOX).data, (v) => v / 255),
      [34, 50],
    ),
  grey: () => ramp(0, 1, [1, 1, 32, 48]),
};

describe("StableDiffusionInpaintPipeline", () => {
  /** With a UNet that knows of no mask, and one of 9 channels. */
  const pipelines = {} as Record<Run["model"], StableDiffusionInpaintPipeline>;
  beforeAll(async () => {
    await testDevice();
    const folder = fixturePath("models/repos/sd15");
    pipelines.sd15 = await StableDiffusionInpaintPipeline.fromPretrained(folder);
    const unet = await UNet2DConditionModel.fromPretrained(fixturePath("models/repos/inpaint"), { subfolder: "unet" });
    pipelines.inpaint = StableDiffusionInpaintPipeline.fromPipe(pipelines.sd15, { unet });
    for (const each of Object.values(pipelines)) each.setProgressBarConfig({ disable: true });
  });
  afterAll(() => {
    for (const each of Object.values(pipelines)) each.dispose();
  });

  const seeded = (seed: number): Generator => new Generator("cpu").manualSeed(seed);
  const small = { height: 32, width: 48 };
  const one = (): Pick<InpaintOptions, "image" | "maskImage"> => ({
    image: picture(48, 32),
    maskImage: maskPicture(48, 32, BOX),
  });
  const dispose = (...given: unknown[]): void => {
    for (const each of given.flat()) if (each instanceof Tensor) each.dispose();
  };
  const numbers = async ({ images }: { images: Tensor }): Promise<Float32Array> => {
    const values = (await images.data()) as Float32Array;
    images.dispose();
    return values;
  };

  for (const [i, { model, scheduler, image, mask, options, after, latents }] of runs.entries())
    test(`${i}: ${model}, ${scheduler}, ${image}, ${mask}, ${JSON.stringify(options)}, as diffusers`, async () => {
      const pipeline = pipelines[model];
      const original = pipeline.scheduler;
      pipeline.scheduler = schedulerClass(scheduler).fromConfig(original.config);
      const { prompt = "a photo of a cat", seeds = null, ...given } = options as { prompt?: string; seeds?: number[] };
      const named = Object.fromEntries(
        Object.entries(given).map(([name, value]) => [
          camelCase(name),
          value === true ? ramp(2, -2, [1, 4, 4, 6]) : value,
        ]),
      );
      const generators = (seeds ?? [8]).map(seeded);
      const sources = { image: IMAGES[image](), maskImage: MASKS[mask]() };
      const call = {
        numInferenceSteps: 5,
        generator: seeds ? generators : generators[0],
        ...small,
        ...named,
        ...sources,
      };
      const got = await numbers(await pipeline(prompt, { ...call, outputType: "latent" }));
      pipeline.scheduler = original;
      // As in test/pipelines/stable_diffusion.test.ts.
      expect(differences(got, latents).worst).toBeLessThan(1e-3);
      expect(differences(generators[0].randn([4]), after).worst).toBeLessThan(1e-6);
      dispose(sources.image, sources.maskImage, ...Object.values(named));
    });

  test("what is black in the mask stays, whatever is drawn in the white part", async () => {
    const pipeline = pipelines.sd15;
    const clean = ramp(-2, 2, [1, 4, 4, 6]);
    const maskImage = maskPicture(48, 32, [24, 0, 48, 32]);
    const options = { ...small, image: clean, maskImage, numInferenceSteps: 3, generator: seeded(8) };
    const got = await numbers(await pipeline("a cat", { ...options, outputType: "latent" }));
    const wanted = (await clean.data()) as Float32Array;
    const right = (i: number): boolean => i % 6 >= 3;
    expect(got.filter((_, i) => !right(i))).toEqual(wanted.filter((_, i) => !right(i)));
    expect(got.filter((v, i) => right(i) && v === wanted[i])).toHaveLength(0);
    clean.dispose();
  });

  test("a callback gets the mask and the masked picture's latents, and gives others; guidance may end", async () => {
    for (const [model, latents] of [
      ["sd15", null],
      ["inpaint", [2, 4, 4, 6]],
    ] as const) {
      const pipeline = pipelines[model];
      const draw = async (change: boolean): Promise<Float32Array> =>
        numbers(
          await pipeline("a cat", {
            ...{ ...one(), ...small, numInferenceSteps: 3, generator: seeded(8), outputType: "latent" },
            callbackOnStepEndTensorInputs: ["mask", "masked_image_latents", "prompt_embeds"],
            callbackOnStepEnd(_, step, __, { mask, masked_image_latents: masked, prompt_embeds: embeds }) {
              expect([mask!.shape, masked?.shape ?? null]).toEqual([[2, 1, 4, 6], latents]);
              if (!change || step !== 0) return {};
              const white = Tensor.from(new Float32Array(48).fill(1), [2, 1, 4, 6]);
              return { mask: white, prompt_embeds: embeds };
            },
          }),
        );
      const [as, changed] = [await draw(false), await draw(true)];
      expect(changed).not.toEqual(as);
      const ended = await pipeline("a cat", {
        ...{ ...one(), ...small, numInferenceSteps: 3, generator: seeded(8), outputType: "latent" },
        callbackOnStepEndTensorInputs: ["prompt_embeds"],
        callbackOnStepEnd(of, _, __, { prompt_embeds: embeds }) {
          if (of.guidanceScale === 0) return {};
          of.guidanceScale = 0;
          const [rows, ...rest] = embeds!.shape;
          return { prompt_embeds: Tensor.from(new Float32Array(embeds!.size / 2), [rows / 2, ...rest]) };
        },
      });
      expect((await numbers(ended)).every(Number.isFinite)).toBe(true);
    }
  });

  test("paddingMaskCrop draws the region alone and puts it back into the picture of the original size", async () => {
    const image = picture(96, 64);
    const maskImage = maskPicture(96, 64, [40, 20, 60, 30]);
    const options = { ...small, image, maskImage, paddingMaskCrop: 4, numInferenceSteps: 2, generator: seeded(8) };
    const { images } = await pipelines.sd15("a cat", { ...options, numImagesPerPrompt: 2 });
    expect(images.map(({ width, height, channels }) => [width, height, channels])).toEqual([
      [96, 64, 3],
      [96, 64, 3],
    ]);
    const inside = (p: number): boolean => maskImage.data[p] === 255;
    for (const { data } of images) {
      const rgb = pixels(96, 64);
      const kept = data.filter((_, i) => !inside(Math.floor(i / 3)));
      expect(kept).toEqual(rgb.filter((_, i) => !inside(Math.floor(i / 3))));
      expect(data).not.toEqual(rgb);
    }
    expect(images[0].data).not.toEqual(images[1].data);
  });

  test("in float16 it draws nearly the same", async () => {
    const unet = await UNet2DConditionModel.fromPretrained(fixturePath("models/repos/inpaint"), {
      ...{ subfolder: "unet", dtype: "float16" },
    });
    const half = await StableDiffusionInpaintPipeline.fromPretrained(fixturePath("models/repos/sd15"), {
      ...{ dtype: "float16", unet },
    });
    half.setProgressBarConfig({ disable: true });
    const options = { ...one(), ...small, strength: 0.8, numInferenceSteps: 5, outputType: "np" } as const;
    const [got, wanted] = [
      await numbers(await half("a cat", { ...options, generator: seeded(8) })),
      await numbers(await pipelines.inpaint("a cat", { ...options, generator: seeded(8) })),
    ];
    half.dispose();
    // As in test/pipelines/img2img.test.ts: noise is rounded to halves.
    expect(differences(got, wanted).mean).toBeLessThan(0.02);
    expect(got).not.toEqual(wanted);
  });

  test("fromPipe shares the models; memory is what it was; the same call draws the same", async () => {
    const text = StableDiffusionPipeline.fromPipe(pipelines.sd15);
    const again = StableDiffusionInpaintPipeline.fromPipe(text);
    again.setProgressBarConfig({ disable: true });
    expect(again.config._class_name).toBe("StableDiffusionInpaintPipeline");
    const { device } = again;
    const results: RawImage[] = [];
    const bytes: number[] = [];
    for (let i = 0; i < 3; i++) {
      const { images } = await again("a cat", { ...one(), ...small, numInferenceSteps: 2, generator: seeded(8) });
      results.push(images[0]);
      bytes.push(device.memoryUse.bytes);
    }
    expect(results[1].data).toEqual(results[0].data);
    expect(bytes[2]).toBe(bytes[1]);
  });

  const WRONG: [name: string, options: () => object, message: string][] = [
    ["no mask", () => ({ maskImage: undefined }), "`maskImage` must be a picture { width, height, data }"],
    ["a path as a mask", () => ({ maskImage: "mask.png" }), 'or a list of one of them, got "mask.png"'],
    ["an empty list of masks", () => ({ maskImage: [] }), "got an empty list"],
    ["no image", () => ({ image: undefined }), "`image` must be a picture { width, height, data }"],
    [
      "a mask of three channels",
      () => ({ maskImage: Tensor.from(new Float32Array(3 * 64), [1, 3, 8, 8]) }),
      "a Tensor [batch, 1, height, width] in [0, 1], or a list of one of them, got Tensor(float32 [1, 3, 8, 8])",
    ],
    [
      "two bytes per pixel in a mask",
      () => ({ maskImage: { width: 8, height: 8, data: pixels(8, 16, 1) } }),
      "`maskImage`: 8x8 pixels of 1, 3 or 4 bytes",
    ],
    ["strength above 1", () => ({ strength: 1.1 }), "`strength` must be from 0 to 1, got 1.1"],
    ["strength that leaves nothing", () => ({ strength: 0.1 }), "no step is left; give more of one of them"],
    ["odd sizes", () => ({ height: 33 }), "`height` and `width` have to be divisible by 8 but are 33 and 48."],
    [
      "three masks for two prompts",
      () => ({ prompt: ["a", "b"], maskImage: Array.from({ length: 3 }, () => maskPicture(8, 8, BOX)) }),
      "Cannot duplicate `maskImage` of batch size 3 to 2 text prompts.",
    ],
    [
      "three pictures for two prompts",
      () => ({ prompt: ["a", "b"], image: Array.from({ length: 3 }, () => picture(8, 8)) }),
      "Cannot duplicate `image` of batch size 3 to 2 text prompts.",
    ],
    [
      "latents of another size",
      () => ({ image: Tensor.from(new Float32Array(64), [1, 4, 4, 4]) }),
      "`image` must be [1, 4, 4, 6] for these prompts and this size, got [1, 4, 4, 4]",
    ],
    [
      "masked latents of another size",
      () => ({ maskedImageLatents: Tensor.from(new Float32Array(64), [1, 4, 4, 4]) }),
      "`maskedImageLatents` must be [1, 4, 4, 6] for these prompts and this size, got [1, 4, 4, 4]",
    ],
    [
      "an unknown tensor for the callback",
      () => ({ callbackOnStepEndTensorInputs: ["masks"] }),
      "must be of latents, prompt_embeds, negative_prompt_embeds, mask, masked_image_latents, got",
    ],
    ["padding below 0", () => ({ paddingMaskCrop: -1 }), "`paddingMaskCrop` must be a number of pixels, got -1"],
    [
      "padding with numbers wanted",
      () => ({ paddingMaskCrop: 4, outputType: "np" }),
      '`outputType` must be "image" with `paddingMaskCrop`, got "np"',
    ],
    [
      "padding with a list",
      () => ({ paddingMaskCrop: 4, image: [picture(48, 32)] }),
      "`image` must be one picture { width, height, data } with `paddingMaskCrop`",
    ],
    [
      "padding with a mask of another size",
      () => ({ paddingMaskCrop: 4, maskImage: maskPicture(48, 40, BOX) }),
      "`maskImage` must be as large as `image` with `paddingMaskCrop`, 48x32, got 48x40",
    ],
    [
      "padding with nothing white",
      () => ({ paddingMaskCrop: 4, maskImage: maskPicture(48, 32, [0, 0, 0, 0]) }),
      "`maskImage` is black all over",
    ],
  ];
  for (const [name, make, message] of WRONG)
    test(`refuses ${name}`, async () => {
      const { prompt = "a cat", ...options } = make() as { prompt?: string } & Partial<InpaintOptions>;
      const call = { ...one(), ...small, numInferenceSteps: 5, ...options };
      await expect(pipelines.sd15(prompt, call)).rejects.toThrow(message);
      dispose(options.image, options.maskImage, options.maskedImageLatents);
    });

  test("latents alone are not enough for a UNet that sees the masked picture", async () => {
    const image = ramp(-2, 2, [1, 4, 4, 6]);
    await expect(pipelines.inpaint("a cat", { ...one(), ...small, image })).rejects.toThrow(
      "with latents as `image`, `maskedImageLatents` are needed, too",
    );
    image.dispose();
  });

  test("tells of tensors on another device", async () => {
    const other = await requestDevice();
    const maskImage = Tensor.from(new Float32Array(64), [8, 8], { device: other });
    await expect(pipelines.sd15("a cat", { ...one(), ...small, maskImage })).rejects.toThrow(
      "on the pipeline's device, but it is on another",
    );
    other.destroy();
  });

  test("pipelines that give the UNet latents alone say where such a UNet belongs", async () => {
    const text = StableDiffusionPipeline.fromPipe(pipelines.inpaint);
    await expect(text("a cat", { ...small, numInferenceSteps: 1 })).rejects.toThrow(
      "StableDiffusionPipeline: the UNet was trained for more than latents, it takes 9 channels (in_channels) and gives 4; " +
        "StableDiffusionInpaintPipeline.fromPipe(pipeline) draws with it",
    );
    const image = StableDiffusionImg2ImgPipeline.fromPipe(pipelines.inpaint);
    await expect(image("a cat", { image: picture(48, 32) })).rejects.toThrow("StableDiffusionInpaintPipeline.fromPipe");
  });
});
