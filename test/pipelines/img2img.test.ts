import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  DDIMScheduler,
  Generator,
  RawImage,
  requestDevice,
  schedulerClass,
  StableDiffusionImg2ImgPipeline,
  StableDiffusionPipeline,
  Tensor,
  type Img2ImgOptions,
} from "../../src/index.js";
import { resample } from "../../src/pipelines/images/resample.js";
import { fixturePath, readFixtureJSON } from "../support/files.js";
import { picture, pixels, tensor } from "../support/pictures.js";
import { camelCase, differences } from "../support/pipelines.js";
import { warnings } from "../support/warnings.js";

/** What scripts/make_img2img.py wrote. */
interface Goldens {
  runs: {
    scheduler: string;
    image: string;
    options: Record<string, unknown>;
    shape: number[];
    latents: number[];
  }[];
  resized: {
    size: [number, number];
    to: [number, number];
    channels: 1 | 3;
    sum: number;
    sha256: string;
  }[];
}
const { runs, resized } = await readFixtureJSON<Goldens>("pipelines/img2img.json");

const IMAGES: Record<string, () => Img2ImgOptions["image"]> = {
  "24x16": () => picture(24, 16),
  "29x21": () => picture(29, 21),
  two: () => [picture(24, 16), picture(29, 21)],
  "tensor 25x17": () => tensor(25, 17, "nchw"),
  "signed tensor": () => tensor(24, 16, "nchw", 2, -1),
  array: () => tensor(24, 16, "nhwc"),
  latents: () =>
    Tensor.from(
      Float32Array.from({ length: 24 }, (_, i) => -2 + (4 * i) / 23),
      [1, 4, 2, 3],
    ),
};

describe("StableDiffusionImg2ImgPipeline", () => {
  let pipeline: StableDiffusionImg2ImgPipeline;
  beforeAll(async () => {
    pipeline = await StableDiffusionImg2ImgPipeline.fromPretrained(fixturePath("models/repos/sd15"));
    pipeline.setProgressBarConfig({ disable: true });
  });
  afterAll(() => pipeline.dispose());

  const seeded = (seed: number): Generator => new Generator("cpu").manualSeed(seed);
  /** Latents of a call, with what it warned of. */
  async function draw(prompt: unknown, options: Img2ImgOptions): Promise<[Float32Array, string[]]> {
    let values: Float32Array | undefined;
    const warned = await warnings(async () => {
      const { images } = await pipeline(prompt as string, { ...options, outputType: "latent" });
      values = (await images.data()) as Float32Array;
      images.dispose();
    });
    for (const image of [options.image].flat()) if (image instanceof Tensor) image.dispose();
    return [values!, warned];
  }

  for (const [i, { scheduler, image, options, latents }] of runs.entries())
    test(`${i}: ${scheduler}, ${image}, ${JSON.stringify(options)}, as diffusers`, async () => {
      const original = pipeline.scheduler;
      pipeline.scheduler = schedulerClass(scheduler).fromConfig(original.config);
      const { prompt = "a photo of a cat", seeds, ...given } = options as { prompt?: unknown; seeds?: number[] };
      const named = Object.fromEntries(
        Object.entries(given)
          .filter(([, value]) => value !== null)
          .map(([name, value]) => [camelCase(name), value]),
      );
      const steps = "timesteps" in given ? {} : { numInferenceSteps: 5 };
      const generator = seeds ? seeds.map(seeded) : seeded(8);
      const [values, warned] = await draw(prompt, {
        ...steps,
        ...named,
        image: IMAGES[image](),
        generator,
      });
      pipeline.scheduler = original;
      // As in test/pipelines/stable_diffusion.test.ts.
      expect(differences(values, latents).worst).toBeLessThan(1e-3);
      const ofImages = warned.filter((text) => text.includes("`image`"));
      expect(ofImages.map((text) => text.slice(0, 32))).toEqual(
        image === "signed tensor" ? ["Passing `image` as a Tensor with"] : [],
      );
    });

  test("grey pictures, pictures with alpha and a canvas' ImageData are taken as RGB", async () => {
    const rgb = pixels(24, 16, 1);
    const four = Uint8ClampedArray.from({ length: 4 * rgb.length }, (_, i) => (i % 4 === 3 ? i % 251 : rgb[i >> 2]));
    const results: Float32Array[] = [];
    for (const image of [
      new RawImage(24, 16, rgb, 1),
      new RawImage(24, 16, four, 4),
      { width: 24, height: 16, data: four },
      { width: 24, height: 16, data: Array.from({ length: 3 * rgb.length }, (_, i) => rgb[Math.floor(i / 3)]) },
    ])
      results.push((await draw("a cat", { image, numInferenceSteps: 2, generator: seeded(8) }))[0]);
    for (const other of results.slice(1)) expect(other).toEqual(results[0]);
  });

  test("fromPipe shares the models; both pipelines, and DiffusionPipeline, draw what they are for", async () => {
    const text = StableDiffusionPipeline.fromPipe(pipeline, {
      scheduler: DDIMScheduler.fromConfig(pipeline.scheduler.config),
    });
    text.setProgressBarConfig({ disable: true });
    const back = StableDiffusionImg2ImgPipeline.fromPipe(text);
    back.setProgressBarConfig({ disable: true });
    expect([back.unet, back.vae, back.config._class_name]).toEqual([
      pipeline.unet,
      pipeline.vae,
      "StableDiffusionImg2ImgPipeline",
    ]);
    const { images } = await text("a cat", { numInferenceSteps: 1, height: 16, width: 24 });
    const again = await back("a cat", { image: images, strength: 0.5, numInferenceSteps: 2, outputType: "np" });
    expect(again.images.shape).toEqual([1, 16, 24, 3]);
    // The result of one call goes into the next.
    const third = await back("a cat", { image: again.images, strength: 0.5, numInferenceSteps: 2 });
    expect([third.images[0].width, third.images[0].height]).toEqual([24, 16]);
    again.images.dispose();
  });

  test("in float16 it draws nearly the same", async () => {
    const half = await StableDiffusionImg2ImgPipeline.fromPretrained(fixturePath("models/repos/sd15"), {
      dtype: "float16",
    });
    half.setProgressBarConfig({ disable: true });
    const options = { numInferenceSteps: 5, strength: 0.6, outputType: "np" } as const;
    const drawn: Float32Array[] = [];
    for (const each of [pipeline, half]) {
      const { images } = await each("a cat", { ...options, image: picture(32, 16), generator: seeded(8) });
      drawn.push((await images.data()) as Float32Array);
      images.dispose();
    }
    half.dispose();
    // Noise is rounded to halves, as in Python, which draws the same where its numbers are a multiple of 16.
    expect(differences(drawn[1], drawn[0]).mean).toBeLessThan(0.02);
    expect(drawn[1]).not.toEqual(drawn[0]);
  });

  const WRONG: [name: string, options: () => object, message: string][] = [
    ["no picture", () => ({}), "`image` must be a picture { width, height, data } (RawImage, ImageData), a Tensor"],
    ["a path", () => ({ image: "cat.png" }), 'or a list of one of them, got "cat.png"'],
    ["an empty list", () => ({ image: [] }), "got an empty list"],
    [
      "a list of both kinds",
      () => ({ image: [picture(8, 8), picture(8, 8), tensor(8, 8, "nchw")] }),
      "got a list of both",
    ],
    [
      "two bytes per pixel",
      () => ({ image: { width: 8, height: 8, data: pixels(8, 16, 1) } }),
      "8x8 pixels of 1, 3 or 4 bytes",
    ],
    [
      "a tensor of five channels",
      () => ({ image: Tensor.from(new Float32Array(320), [1, 5, 8, 8]) }),
      "must have 3 channels (or 4, of latents), got Tensor(float32 [1, 5, 8, 8])",
    ],
    ["seven pixels", () => ({ image: picture(7, 16) }), "`image` is too small: 7x16 pixels"],
    [
      "three pictures for two prompts",
      () => ({ prompt: ["a", "b"], image: [picture(8, 8), picture(8, 8), picture(8, 8)] }),
      "Cannot duplicate `image` of batch size 3 to 2 text prompts.",
    ],
    ["strength above 1", () => ({ image: picture(8, 8), strength: 1.1 }), "`strength` must be from 0 to 1, got 1.1"],
    [
      "strength that is a text",
      () => ({ image: picture(8, 8), strength: "0.5" }),
      '`strength` must be from 0 to 1, got "0.5"',
    ],
    ["strength null", () => ({ image: picture(8, 8), strength: null }), "`strength` must be from 0 to 1, got null"],
    [
      "no step left",
      () => ({ image: picture(8, 8), strength: 0.1, numInferenceSteps: 5 }),
      "After adjusting the 5 inference steps by `strength` 0.1 no step is left",
    ],
    [
      "two generators for one picture",
      () => ({ image: picture(8, 8), generator: [seeded(1), seeded(2)] }),
      "list of generators of length 2",
    ],
  ];
  for (const [name, options, message] of WRONG)
    test(`refuses ${name}`, async () => {
      const original = pipeline.scheduler;
      pipeline.scheduler = DDIMScheduler.fromConfig(original.config); // whose schedule has a step for each of them
      const { prompt = "a cat", ...rest } = options() as { prompt?: string; image?: unknown };
      const call = pipeline(prompt, { numInferenceSteps: 2, ...rest } as unknown as Img2ImgOptions);
      await expect(call).rejects.toThrow(message);
      pipeline.scheduler = original;
      for (const image of [rest.image].flat()) if (image instanceof Tensor) image.dispose();
    });

  test("refuses a tensor on another device, and pictures without a VAE; latents need none", async () => {
    const other = await requestDevice();
    const elsewhere = Tensor.from(new Float32Array(192), [1, 3, 8, 8], { device: other });
    await expect(pipeline("a cat", { image: elsewhere })).rejects.toThrow("but it is on another");
    other.destroy();
    await other.lost;
    const without = StableDiffusionImg2ImgPipeline.fromPipe(pipeline, { vae: null });
    without.setProgressBarConfig({ disable: true });
    const options = { numInferenceSteps: 2, outputType: "latent" } as const;
    await expect(without("a cat", { ...options, image: picture(8, 8) })).rejects.toThrow(
      "StableDiffusionImg2ImgPipeline: the component `vae` is missing; AutoencoderKL or AutoencoderTiny is needed to encode the image",
    );
    const image = IMAGES.latents() as Tensor;
    const { images } = await without("a cat", { ...options, image });
    expect(images.shape).toEqual([1, 4, 2, 3]);
    for (const tensor of [images, image]) tensor.dispose();
  });

  test("sizes and latents are no options of it", async () => {
    const options = { image: picture(8, 8), numInferenceSteps: 2, height: 16, latents: null } as Img2ImgOptions;
    const warned = await warnings(() => pipeline("a cat", options));
    expect(warned.join()).toMatch(
      /^StableDiffusionImg2ImgPipeline: options that a call does not have are ignored: `height` .*`latents`/,
    );
  });
});

describe("pictures of another size, to the byte as Pillow's", () => {
  for (const { size, to, channels, sum, sha256 } of resized)
    test(`${size.join("x")} to ${to.join("x")}, ${channels} channels`, async () => {
      const data = resample(pixels(...size, channels), size, to, channels);
      expect([data.length, data.reduce((a, b) => a + b, 0)]).toEqual([to[0] * to[1] * channels, sum]);
      const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", Uint8Array.from(data)));
      expect(Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("")).toBe(sha256);
    });
});
