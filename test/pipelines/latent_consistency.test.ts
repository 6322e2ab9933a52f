import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  CLIPImageProcessor,
  DDIMScheduler,
  DiffusionPipeline,
  Generator,
  LatentConsistencyModelImg2ImgPipeline,
  LatentConsistencyModelPipeline,
  LCMScheduler,
  StableDiffusionPipeline,
  StableDiffusionSafetyChecker,
  Tensor,
  UNet2DConditionModel,
  type AnyPipeline,
  type CallbackTensors,
  type StableDiffusionOutput,
} from "../../src/index.js";
import { fixturePath, readFixtureJSON } from "../support/files.js";
import { testDevice } from "../support/gpu.js";
import { lcmRepository } from "../support/lcm.js";
import { picture, tensor } from "../support/pictures.js";
import { camelCase, differences } from "../support/pipelines.js";
import { warnings } from "../support/warnings.js";

interface Run {
  options: Record<string, unknown>;
  shape: number[];
  latents: number[];
}
/** What scripts/make_lcm_pipelines.py wrote. */
interface Goldens {
  runs: Run[];
  pictures: (Run & { image: string })[];
  checked: { flagged: boolean[]; means: number[] };
}
const { runs, pictures, checked } = await readFixtureJSON<Goldens>("pipelines/lcm.json");

const ramp = (shape: readonly number[]): Tensor => {
  const size = shape.reduce((a, b) => a * b);
  return Tensor.from(
    Float32Array.from({ length: size }, (_, i) => -2 + (4 * i) / (size - 1)),
    shape,
  );
};
const IMAGES: Record<string, () => unknown> = {
  "24x16": () => picture(24, 16),
  "29x21": () => picture(29, 21),
  "tensor 25x17": () => tensor(25, 17, "nchw"),
  two: () => [picture(24, 16), picture(29, 21)],
  latents: () => ramp([1, 4, 2, 3]),
};
const seeded = (seed: number): Generator => new Generator("cpu").manualSeed(seed);

const changedBy = async (
  x: Tensor,
  change: (value: number, i: number, all: Float32Array) => number,
): Promise<Tensor> => {
  const values = (await x.data()) as Float32Array;
  return Tensor.from(values.map(change), x.shape);
};
const times = (x: Tensor | undefined, factor: number): Promise<Tensor> => changedBy(x!, (value) => factor * value);
/** What the script's callback of that name returns. */
const edit = {
  callbackOnStepEndTensorInputs: ["latents", "denoised", "prompt_embeds", "w_embedding"],
  async callbackOnStepEnd(_: unknown, step: number, __: number, tensors: CallbackTensors): Promise<CallbackTensors> {
    const { latents, denoised, prompt_embeds, w_embedding } = tensors;
    if (step === 0) return { latents: await times(latents, 0.9), w_embedding: await times(w_embedding, 0.5) };
    if (step === 3) return { latents: await times(latents, 0), denoised: await times(denoised, 0.5) };
    if (step !== 1) return {};
    const width = prompt_embeds!.shape[2];
    const flipped = changedBy(prompt_embeds!, (_value, i, all) => all[i - (i % width) + width - 1 - (i % width)]);
    return { prompt_embeds: await flipped, denoised: await times(denoised, 7) };
  },
};

describe("pipelines of latent consistency models", () => {
  let text: LatentConsistencyModelPipeline;
  let image: LatentConsistencyModelImg2ImgPipeline;
  beforeAll(async () => {
    text = await DiffusionPipeline.fromPretrained<LatentConsistencyModelPipeline>(await lcmRepository());
    text.setProgressBarConfig({ disable: true });
    image = LatentConsistencyModelImg2ImgPipeline.fromPipe(text);
    image.setProgressBarConfig({ disable: true });
  });
  afterAll(() => text.dispose());

  async function expectGolden(pipeline: unknown, { options, shape, latents }: Run, more: object): Promise<void> {
    const {
      prompt = "a photo of a cat",
      seeds,
      edit: edits,
      ...given
    } = options as { seeds?: number[] } & Run["options"];
    const named = Object.entries(given).map(([name, value]) => {
      const isTensor = ["prompt_embeds", "latents"].includes(name);
      return [camelCase(name), isTensor ? ramp(value as number[]) : (value ?? undefined)] as const;
    });
    const all = { ...Object.fromEntries(named), ...more, ...(edits ? edit : {}) } as Record<string, unknown>;
    const generator = seeds?.map(seeded) ?? seeded(8);
    const { images } = (await (pipeline as AnyPipeline)(prompt, { ...all, generator, outputType: "latent" })) as {
      images: Tensor;
    };
    expect(images.shape).toEqual(shape);
    expect(differences((await images.data()) as Float32Array, latents).worst).toBeLessThan(1e-3);
    for (const each of [images, ...Object.values(all)]) if (each instanceof Tensor) each.dispose();
  }

  for (const [i, run] of runs.entries())
    test(`${i}: ${JSON.stringify(run.options)}, as diffusers`, () => expectGolden(text, run, {}));

  for (const [i, run] of pictures.entries())
    test(`from pictures ${i}: ${run.image}, ${JSON.stringify(run.options)}, as diffusers`, () =>
      expectGolden(image, run, { image: IMAGES[run.image]() }));

  test("the safety checker looks at the pictures, as in diffusers", async () => {
    const device = await testDevice();
    const [safety_checker, feature_extractor] = await Promise.all([
      StableDiffusionSafetyChecker.fromPretrained(fixturePath("models/repos/sd15-safe/safety_checker"), { device }),
      CLIPImageProcessor.fromPretrained(fixturePath("models/repos/sd15-safe/feature_extractor")),
    ]);
    const safe = LatentConsistencyModelPipeline.fromPipe(text, { safety_checker, feature_extractor });
    safe.setProgressBarConfig({ disable: true });
    const options = { numImagesPerPrompt: 2, height: 16, width: 24, generator: seeded(8), outputType: "np" } as const;
    let drawn: StableDiffusionOutput<Tensor> | undefined;
    await warnings(async () => void (drawn = await safe(["a photo of a cat", "a dog"], options)));
    const { images, nsfwContentDetected } = drawn!;
    expect(nsfwContentDetected).toEqual(checked.flagged);
    const values = (await images.data()) as Float32Array;
    const means = checked.means.map((_, i) => {
      const [n, c] = [Math.floor(i / 3), i % 3];
      const own = values.subarray(n * 24 * 16 * 3, (n + 1) * 24 * 16 * 3).filter((_value, j) => j % 3 === c);
      return own.reduce((a, b) => a + b) / own.length;
    });
    expect(differences(means, checked.means).worst).toBeLessThan(1 / 255);
    images.dispose();
    safety_checker.dispose();
  });

  test("in float16 it draws nearly the same", async () => {
    const half = await LatentConsistencyModelPipeline.fromPretrained(await lcmRepository(), { dtype: "float16" });
    half.setProgressBarConfig({ disable: true });
    const drawn: Float32Array[] = [];
    for (const each of [text, half]) {
      // Noise of halves is the same numbers where these are a multiple of 16.
      const options = { height: 16, width: 32, numInferenceSteps: 2, outputType: "np" } as const;
      const { images } = await each("a cat", { ...options, generator: seeded(8) });
      drawn.push((await images.data()) as Float32Array);
      images.dispose();
    }
    half.dispose();
    expect(differences(drawn[1], drawn[0]).mean).toBeLessThan(0.02);
    expect(drawn[1]).not.toEqual(drawn[0]);
  });

  test("an interrupted call draws what the step before guessed the end to be", async () => {
    let seen: Float32Array | undefined;
    const { images } = await text("a cat", {
      ...{ height: 16, width: 24, outputType: "latent", generator: seeded(8) },
      callbackOnStepEndTensorInputs: ["denoised"],
      async callbackOnStepEnd(pipeline, _step, _timestep, { denoised }) {
        seen = (await denoised!.data()) as Float32Array;
        pipeline.interrupt = true;
      },
    });
    expect((await (images as unknown as Tensor).data()) as Float32Array).toEqual(seen);
    (images as unknown as Tensor).dispose();
  });

  test("the scheduler's config stays as it is, and there is no negative prompt", async () => {
    expect(text.scheduler.config.steps_offset).toBe(0);
    expect(text.doClassifierFreeGuidance).toBe(false);
    const warned = await warnings(async () => {
      const { images } = await text("a cat", {
        ...{ negativePrompt: "a dog", eta: 0.5, height: 16, width: 16, numInferenceSteps: 1, outputType: "latent" },
      });
      (images as unknown as Tensor).dispose();
    });
    expect(warned.join("\n")).toContain("options that a call does not have are ignored: `negativePrompt`");
    expect(warned.join("\n")).toContain("`eta`");
  });

  const WRONG: [name: string, parts: () => object, options: object, message: string][] = [
    [
      "another scheduler",
      () => ({ scheduler: new DDIMScheduler() }),
      {},
      "the component `scheduler` is of class DDIMScheduler; LCMScheduler is needed to draw with a latent consistency model",
    ],
    [
      "more steps than the distilled model's",
      () => ({}),
      { numInferenceSteps: 8, originalInferenceSteps: 4 },
      "8 steps are more than original_inference_steps x strength, 4 x 1",
    ],
    ["a size of no multiple of 8", () => ({}), { height: 20 }, "have to be divisible by 8 but are 20 and 64"],
    [
      "no such tensor",
      () => ({}),
      { callbackOnStepEndTensorInputs: ["negative_prompt_embeds"] },
      "of latents, denoised",
    ],
    [
      "a denoised of another shape",
      () => ({}),
      { callbackOnStepEnd: () => ({ denoised: ramp([1, 4, 1, 1]) }) },
      "the returned denoised must be [1, 4, 8, 8], got [1, 4, 1, 1]",
    ],
  ];
  for (const [name, parts, options, message] of WRONG)
    test(`refuses ${name}`, async () => {
      const pipeline = LatentConsistencyModelPipeline.fromPipe(text, parts());
      pipeline.setProgressBarConfig({ disable: true });
      await expect(pipeline("a cat", options)).rejects.toThrow(message);
    });

  test("refuses a UNet without an input for the guidance scale, and strength without a step", async () => {
    const unet = await UNet2DConditionModel.fromPretrained(fixturePath("models/repos/sd15"), {
      subfolder: "unet",
      device: text.device,
    });
    const wrong = LatentConsistencyModelPipeline.fromPipe(text, { unet });
    await expect(wrong("a cat")).rejects.toThrow("the UNet takes no guidance scale (time_cond_proj_dim is null)");
    unet.dispose();
    const still = image("a cat", { image: picture(24, 16), strength: 0.05 });
    await expect(still).rejects.toThrow("4 steps are more than original_inference_steps x strength, 50 x 0.05");
    const none = image("a cat", { image: picture(24, 16), strength: 0.5, timesteps: [999] });
    await expect(none).rejects.toThrow("After adjusting the 1 `timesteps` by `strength` 0.5 no step is left");
    await expect(image("a cat", { image: picture(8, 8), strength: 2 })).rejects.toThrow(
      "`strength` must be from 0 to 1",
    );
  });

  test("a StableDiffusionPipeline of its models takes any scheduler", async () => {
    const plain = StableDiffusionPipeline.fromPipe(text, {
      scheduler: DDIMScheduler.fromConfig(text.scheduler.config),
    });
    plain.setProgressBarConfig({ disable: true });
    const { images } = await plain("a cat", { height: 16, width: 16, numInferenceSteps: 2, outputType: "latent" });
    expect(images.shape).toEqual([1, 4, 2, 2]);
    images.dispose();
    expect(text.scheduler).toBeInstanceOf(LCMScheduler);
  });
});
