import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  AutoencoderKL,
  AutoencoderTiny,
  DDIMPipeline,
  DDIMScheduler,
  DDPMPipeline,
  DiffusionPipeline,
  EulerDiscreteScheduler,
  Generator,
  StableDiffusionPipeline,
  Tensor,
  UNet2DConditionModel,
  type StableDiffusionOptions,
} from "../../src/index.js";
import { fixturePath } from "../support/files.js";
import { differences, loadRepo } from "../support/pipelines.js";
import { warnings } from "../support/warnings.js";

/** What diffusers 0.42.1 gives where the tests say how. */
const POSITIVE = [0.79533, 0.20781, -0.09422, 0.74757, -0.31145, 0.35438];
const NEGATIVE = [0.21853, 0.92216, -1.35504, 0.74625, -0.17467, 1.99607];
const FREEU = [
  -3.55555, 3.32472, 4.72677, 0.15491, 4.86484, 2.67659, 5.56855, 4.75506, 3.56019, 2.76756, -3.17877, 0.90113,
];

let pipeline: StableDiffusionPipeline;
beforeAll(async () => {
  pipeline = await loadRepo("sd15");
  pipeline.scheduler = DDIMScheduler.fromConfig(pipeline.scheduler.config);
});
afterAll(() => pipeline.dispose());

const draw = async (options: StableDiffusionOptions, prompt: string | null = "a photo of a cat"): Promise<number[]> => {
  const { images } = await pipeline(prompt, {
    numInferenceSteps: 3,
    height: 16,
    width: 24,
    generator: new Generator("cpu").manualSeed(8),
    ...options,
    outputType: "latent",
  });
  const values = Array.from((await images.data()).subarray(0, 12));
  images.dispose();
  return values;
};

describe("encodePrompt", () => {
  test("gives the embeddings of a call", async () => {
    const [promptEmbeds, negativePromptEmbeds] = await pipeline.encodePrompt("a photo of a cat");
    const values = await draw({ promptEmbeds, negativePromptEmbeds }, null);
    expect(differences(values, await draw({})).worst).toBeLessThan(1e-5);
    for (const tensor of [promptEmbeds, negativePromptEmbeds!]) tensor.dispose();
    const [alone, none] = await pipeline.encodePrompt("a cat", { doClassifierFreeGuidance: false });
    expect([alone.shape, none]).toEqual([[1, 77, 32], null]);
    const [again] = await pipeline.encodePrompt(null, { promptEmbeds: alone, numImagesPerPrompt: 3 });
    expect(again.shape).toEqual([3, 77, 32]);
  });

  // diffusers 0.42.1: pipe.encode_prompt(["a photo of a cat"], "cpu", 2, True, negative_prompt=["a dog"])
  test("for several pictures, with a negative prompt", async () => {
    const options = { numImagesPerPrompt: 2, negativePrompt: ["a dog"] };
    const embeds = await pipeline.encodePrompt(["a photo of a cat"], options);
    for (const [i, expected] of [POSITIVE, NEGATIVE].entries()) {
      const tensor = embeds[i]!;
      expect(tensor.shape).toEqual([2, 77, 32]);
      const at = (77 + 3) * 32;
      expect(differences((await tensor.data()).subarray(at, at + 6), expected).worst).toBeLessThan(1e-4);
      tensor.dispose();
    }
  });

  test("refuses wrong arguments", async () => {
    await expect(pipeline.encodePrompt(null)).rejects.toThrow("Provide either `prompt` or `promptEmbeds`");
    await expect(pipeline.encodePrompt("a", { numImagesPerPrompt: 0 })).rejects.toThrow("`numImagesPerPrompt` must be");
    await expect(pipeline.encodePrompt("a", { guidanceScale: 3 } as object)).rejects.toThrow(
      "StableDiffusionPipeline.encodePrompt: got options that a call does not have: `guidanceScale`",
    );
  });
});

describe("fromPipe", () => {
  test("shares components and settings", () => {
    const scheduler = new EulerDiscreteScheduler();
    const other = StableDiffusionPipeline.fromPipe(pipeline, { scheduler });
    expect(other).toBeInstanceOf(StableDiffusionPipeline);
    expect([other.unet, other.scheduler]).toEqual([pipeline.unet, scheduler]);
    expect(other.config).toEqual({ ...pipeline.config, scheduler: ["diffusers", "EulerDiscreteScheduler"] });
    expect(pipeline.scheduler).not.toBe(scheduler);
  });

  test("of another class, with the models that it takes", async () => {
    const ddpm = await DDPMPipeline.fromPretrained(fixturePath("models/repos/ddpm-cifar"));
    const ddim = DDIMPipeline.fromPipe(ddpm);
    expect([ddim.unet, ddim.scheduler.className]).toEqual([ddpm.unet, "DDIMScheduler"]);
    const seen = await warnings(() => {
      expect(() => DDIMPipeline.fromPipe(pipeline)).toThrow("DDIMPipeline: the component `unet` is no UNet2DModel");
    });
    expect(seen.join()).toContain("component unet is not switched over to new pipeline");
    expect(seen.join()).toContain("unet is UNet2DConditionModel while the new pipeline expect UNet2DModel");
    expect(() => DDIMPipeline.fromPipe(ddpm, { vae: new AutoencoderTiny() } as never)).toThrow(
      "DDIMPipeline.fromPipe: takes unet, scheduler, got vae",
    );
    ddpm.dispose();
    const ofAny = DiffusionPipeline.fromPipe as unknown as (this: unknown, pipeline: unknown) => unknown;
    expect(() => ofAny.call(DiffusionPipeline, pipeline)).toThrow("call it on the class that is wanted");
    expect(() => ofAny.call(StableDiffusionPipeline, undefined)).toThrow(".fromPipe: takes a pipeline, got undefined");
  });
});

describe("what diffusers' pipelines have", () => {
  test("the dtype, the VAE's factor, and what callbacks ask for", async () => {
    expect([pipeline.dtype, pipeline.vaeScaleFactor]).toEqual(["float32", 8]);
    const seen: unknown[] = [];
    const callbackOnStepEnd = (): void =>
      void seen.push([pipeline.numTimesteps, pipeline.doClassifierFreeGuidance, pipeline.clipSkip]);
    await draw({ numInferenceSteps: 2, clipSkip: 1, callbackOnStepEnd });
    expect(seen).toEqual([2, 2].map((steps) => [steps, true, 1]));
    await draw({});
    expect([pipeline.numTimesteps, pipeline.clipSkip]).toEqual([3, null]);
  });
});

describe("what pipelines hand on", () => {
  // diffusers 0.42.1: pipe.enable_freeu(s1=0.9, s2=0.2, b1=1.2, b2=1.4)
  test("FreeU", async () => {
    const plain = await draw({});
    pipeline.enableFreeu({ s1: 0.9, s2: 0.2, b1: 1.2, b2: 1.4 });
    expect(differences(await draw({}), FREEU).worst).toBeLessThan(1e-3);
    pipeline.disableFreeu();
    expect(await draw({})).toEqual(plain);
  });

  test("attention slicing changes nothing", async () => {
    const plain = await draw({});
    pipeline.enableAttentionSlicing();
    expect(await draw({})).toEqual(plain);
    pipeline.disableAttentionSlicing();
  });

  test("numpyToPil", async () => {
    const images = Tensor.from([0, 0.5, 1], [1, 1, 1, 3]);
    const [picture] = await pipeline.numpyToPil(images);
    expect(Array.from(picture.data)).toEqual([0, 128, 255]);
    images.dispose();
  });
});

describe("models", () => {
  test("their memory, as Python counts it", async () => {
    expect([pipeline.unet.getMemoryFootprint(), pipeline.vae.getMemoryFootprint()]).toEqual([1427216, 268924]);
    const source = fixturePath("models/repos/sd15");
    const half = await UNet2DConditionModel.fromPretrained(source, { subfolder: "unet", dtype: "float16" });
    expect(half.getMemoryFootprint()).toBe(1427216 / 2);
    half.dispose();
  });

  test("belong to their device", async () => {
    const { unet } = pipeline;
    expect(await unet.to("cuda")).toBe(unet);
    expect(await unet.to(pipeline.device)).toBe(unet);
    await expect(unet.to("mps")).rejects.toThrow(
      "to: UNet2DConditionModel belongs to its WebGPU device; to use another, load it with fromPretrained(source, { device })",
    );
    await expect(unet.to("float16")).rejects.toThrow(
      'keeps its dtype; load it with fromPretrained(source, { dtype: "f',
    );
  });

  test("all that to() is given is looked at: another dtype is refused, its own is none", async () => {
    const source = fixturePath("models/repos/sd15");
    const half = await AutoencoderKL.fromPretrained(source, { subfolder: "vae", dtype: "float16" });
    const { unet } = pipeline;
    for (const [owner, own, other, what] of [
      [pipeline, "float32", "float16", "the pipeline"],
      [unet, "float32", "float16", "UNet2DConditionModel"],
      [half, "float16", "float32", "AutoencoderKL"],
    ] as const) {
      for (const given of [["cuda", own], [own, "webgpu:0"], [own], [pipeline.device, own]] as const)
        expect(await (owner.to as (...args: unknown[]) => Promise<unknown>).call(owner, ...given)).toBe(owner);
      const message = `to: ${what} keeps its dtype; load it with fromPretrained(source, { dtype: "${other}" })`;
      for (const given of [["cuda", other], [other], [other, "cuda"], [own, other]] as const)
        await expect((owner.to as (...args: unknown[]) => Promise<unknown>).call(owner, ...given)).rejects.toThrow(
          message,
        );
      await expect(owner.to("cuda", "xpu")).rejects.toThrow(`to: ${what} belongs to its WebGPU device`);
      await expect((owner.to as () => Promise<unknown>).call(owner)).rejects.toThrow("belongs to its WebGPU device");
    }
    const mixed = StableDiffusionPipeline.fromPipe(pipeline, { vae: half });
    for (const dtype of ["float32", "float16"]) await expect(mixed.to(dtype)).rejects.toThrow("keeps its dtype");
    half.dispose();
  });
});
