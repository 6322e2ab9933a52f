import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Tensor } from "../../src/index.js";
import {
  DiffusionPipeline,
  DPTForDepthEstimation,
  DPTImageProcessor,
  schedulerClass,
  SDCFGCutoffCallback,
  StableDiffusionDepth2ImgPipeline,
  StableDiffusionImg2ImgPipeline,
  StableDiffusionPipeline,
  type Depth2ImgOptions,
  type ImageInput,
} from "../../src/index.js";
import { DEPTH, depthRepository, depths } from "../support/depth.js";
import { testDevice } from "../support/gpu.js";
import { picture, tensor } from "../support/pictures.js";
import { camelCase, differences } from "../support/pipelines.js";
import { dispose, numbers, ramp, seeded } from "../support/sdxl_pictures.js";

const IMAGES: Record<string, () => ImageInput | ImageInput[]> = {
  "48x32": () => picture(48, 32),
  "53x37": () => picture(53, 37),
  two: () => [picture(48, 32), picture(53, 37)],
};
const DDIM = schedulerClass("DDIMScheduler");
const NAME = "StableDiffusionDepth2ImgPipeline";

describe("depth to image", () => {
  let pipeline: StableDiffusionDepth2ImgPipeline;
  beforeAll(async () => {
    await testDevice();
    pipeline = await DiffusionPipeline.fromPretrained(await depthRepository());
    pipeline.setProgressBarConfig({ disable: true });
  });
  afterAll(() => pipeline.dispose());

  for (const [i, { scheduler, image, options, after, shape, images: wanted }] of DEPTH.runs.entries())
    test(`${i}: ${scheduler}, ${image}, ${JSON.stringify(options)}, as diffusers`, async () => {
      const { prompt = "a photo of a cat", seeds, depth_map: map, ...given } = options;
      const original = pipeline.scheduler;
      pipeline.scheduler = schedulerClass(scheduler).fromConfig(original.config);
      const generators = ((seeds as number[] | undefined) ?? [8]).map(seeded);
      const call = {
        ...{ numInferenceSteps: 4, outputType: "latent", generator: seeds ? generators : generators[0] },
        ...(Object.fromEntries(Object.entries(given).map(([key, value]) => [camelCase(key), value])) as object),
        image: IMAGES[image](),
        depthMap: map ? depths(map as number[]) : undefined,
      } as Depth2ImgOptions & { outputType: "latent" };
      const { images } = await pipeline(prompt as string, call);
      expect(images.shape).toEqual(shape);
      // As in test/pipelines/stable_diffusion.test.ts; pictures to 1/255.
      const tolerance = options.output_type === "np" ? 1 / 255 : 1e-3;
      expect(differences(await numbers({ images }), wanted).worst).toBeLessThan(tolerance);
      expect(differences(generators[0].randn([4]), after).worst).toBeLessThan(1e-4);
      pipeline.scheduler = original;
      dispose(call);
    });

  test("in float16, as diffusers", async () => {
    const half = await StableDiffusionDepth2ImgPipeline.fromPretrained(await depthRepository(), { dtype: "float16" });
    half.setProgressBarConfig({ disable: true });
    half.scheduler = DDIM.fromConfig(half.scheduler.config);
    const generator = seeded(8);
    const call = { image: picture(48, 32), numInferenceSteps: 4, outputType: "latent", generator } as const;
    const got = await numbers(await half("a photo of a cat", call));
    half.dispose();
    // Both round differently on the way, as in test/support/sdxl_pictures.ts.
    expect(differences(got, DEPTH.half.images).mean).toBeLessThan(0.05);
    expect(differences(generator.randn([4]), DEPTH.half.after).worst).toBeLessThan(1e-4);
  });

  const draw = async (options: object = {}): Promise<Float32Array> => {
    const depthMap = depths([1, 4, 6]);
    const call = { image: picture(48, 32), numInferenceSteps: 2, strength: 1, depthMap, generator: seeded(8) };
    try {
      return await numbers(await pipeline("a cat", { ...call, ...options, outputType: "latent" }));
    } finally {
      depthMap.dispose();
    }
  };

  test("a callback gets the depth, and gives another one; guidance may end", async () => {
    const as = await draw();
    const seen: string[] = [];
    const others = await draw({
      callbackOnStepEndTensorInputs: ["depth_mask", "negative_prompt_embeds"],
      callbackOnStepEnd: async (_: unknown, step: number, __: number, tensors: Record<string, Tensor>) => {
        for (const [name, each] of Object.entries(tensors)) seen.push(`${name} ${String(each.shape)}`);
        const values = await tensors.depth_mask.data();
        if (step === 0) expect([Math.min(...values), Math.max(...values)]).toEqual([-1, 1]);
        return step === 0 ? { depth_mask: ramp(-1, 1, [2, 1, 4, 6]) } : {};
      },
    });
    expect(seen.slice(0, 2)).toEqual(["depth_mask 2,1,4,6", "negative_prompt_embeds 1,77,32"]);
    expect(others).not.toEqual(as);
    const cut = await draw({ callbackOnStepEnd: new SDCFGCutoffCallback({ cutoffStepIndex: 0 }) });
    expect(cut).not.toEqual(as);
  });

  test("tensors are seen as pictures; latents need a depth map, of any size", async () => {
    const [bytes, floats] = [picture(48, 32), tensor(48, 32, "nchw")];
    const estimate = { depthMap: null };
    const [one, other] = [await draw({ ...estimate, image: bytes }), await draw({ ...estimate, image: floats })];
    expect(differences(one, other).worst).toBeLessThan(1e-3);
    const image = ramp(-2, 2, [1, 4, 4, 6]);
    expect((await draw({ image })).length).toBe(96);
    await expect(draw({ ...estimate, image })).rejects.toThrow("with latents as `image`, `depthMap` is needed, too");
    const dark = ramp(-1, 1, [1, 3, 32, 48]);
    await expect(draw({ ...estimate, image: dark })).rejects.toThrow("must be of numbers in [0, 1] for the depth");
    for (const each of [floats, image, dark]) each.dispose();
  });

  test("memory is what it was; a call that fails or is aborted leaves nothing", async () => {
    const { device } = pipeline;
    const results = [await draw({ depthMap: null }), await draw({ depthMap: null })];
    expect(results[1]).toEqual(results[0]);
    device.trim();
    const { bytes } = device.memoryUse;
    const controller = new AbortController();
    const callbackOnStepEnd = (): void => controller.abort(new Error("enough"));
    await expect(draw({ signal: controller.signal, callbackOnStepEnd })).rejects.toThrow("enough");
    await expect(draw({ image: [picture(48, 32), picture(48, 32)] })).rejects.toThrow("Cannot duplicate `image`");
    device.trim();
    expect(device.memoryUse.bytes).toBe(bytes);
  });

  test("refuses maps that are none, by name", async () => {
    const bad = async (depthMap: unknown): Promise<unknown> => draw({ depthMap });
    const [three, flat, wrong] = [depths([3, 4, 6]), ramp(2, 2, [1, 4, 6]), ramp(0, Infinity, [1, 4, 6])];
    await expect(bad("depth.png")).rejects.toThrow("`depthMap` must be a Tensor [pictures, height, width]");
    await expect(bad(three)).rejects.toThrow("Cannot duplicate `depthMap` of batch size 3 to 1 text prompts.");
    await expect(bad(flat)).rejects.toThrow("the depth of picture 0 is 2 everywhere");
    await expect(bad(wrong)).rejects.toThrow("depthMap: numbers are infinite or NaN");
    for (const each of [three, flat, wrong]) each.dispose();
    await expect(draw({ strength: 2 })).rejects.toThrow("`strength` must be from 0 to 1");
    await expect(draw({ callbackOnStepEndTensorInputs: ["mask"] })).rejects.toThrow("depth_mask, got");
    await expect(pipeline.loadIpAdapter()).rejects.toThrow(`${NAME}.loadIpAdapter: not supported`);
  });

  test("without a depth estimator a map is needed; other pipelines say where such a UNet belongs", async () => {
    const none = { depth_estimator: null, feature_extractor: null };
    const without = StableDiffusionDepth2ImgPipeline.fromPipe(pipeline, none);
    const image = picture(48, 32);
    await expect(without("a cat", { image })).rejects.toThrow(
      `${NAME}: the component \`depth_estimator\` is missing; DPTForDepthEstimation is needed to estimate the depth of \`image\`; ` +
        "`depthMap`, a Tensor [pictures, height, width], does without",
    );
    expect(without.config.depth_estimator).toEqual([null, null]);
    const text = StableDiffusionImg2ImgPipeline.fromPipe(pipeline);
    await expect(text("a cat", { image })).rejects.toThrow(
      `takes 5 channels (in_channels) and gives 4; ${NAME}.fromPipe(pipeline, { depth_estimator, feature_extractor }) draws with it`,
    );
    expect(() => StableDiffusionDepth2ImgPipeline.fromPipe(StableDiffusionPipeline.fromPipe(pipeline))).toThrow(
      `${NAME}: components depth_estimator are missing`,
    );
  });

  test("its parts are those of the file, by their names of today", () => {
    expect(pipeline.depth_estimator).toBeInstanceOf(DPTForDepthEstimation);
    expect(pipeline.feature_extractor).toBeInstanceOf(DPTImageProcessor);
    expect(pipeline.config.feature_extractor).toEqual(["transformers", "DPTImageProcessor"]);
    expect(pipeline.config.depth_estimator).toEqual(["transformers", "DPTForDepthEstimation"]);
    expect(Object.keys(pipeline.components)).toEqual([
      ...["vae", "text_encoder", "tokenizer", "unet", "scheduler", "depth_estimator", "feature_extractor"],
    ]);
  });
});
