import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  DDPMPipeline,
  FlaxStableDiffusionPipeline,
  Generator,
  PNDMPipeline,
  PRNGKey,
  requestDevice,
  Tensor,
  type Device,
  type FlaxCallOptions,
  type FlaxParams,
  type StableDiffusionOptions,
  type StableDiffusionPipeline,
  type UnconditionalOptions,
} from "../../src/index.js";
import { fixturePath } from "../support/files.js";
import { FLAX_REPO } from "../support/flax.js";
import { loadRepo } from "../support/pipelines.js";
import { warnings } from "../support/warnings.js";

const zeros = (shape: readonly number[], device?: Device): Tensor =>
  Tensor.from(new Float32Array(shape.reduce((a, b) => a * b, 1)), shape, { device });
const SMALL = { numInferenceSteps: 1, height: 16, width: 16 };

describe("the options of a call", () => {
  let pipeline: StableDiffusionPipeline;
  let other: Device;
  beforeAll(async () => {
    pipeline = await loadRepo("sd15");
    other = await requestDevice();
  });
  afterAll(async () => {
    pipeline.dispose();
    other.destroy();
    await other.lost;
  });
  const call = (options: object): Promise<unknown> => pipeline("a cat", { ...SMALL, ...options });

  test("null is as nothing, where Python's default is None", async () => {
    const nothing: StableDiffusionOptions = {
      height: null,
      width: null,
      negativePrompt: null,
      generator: null,
      latents: null,
      promptEmbeds: null,
      negativePromptEmbeds: null,
      callbackOnStepEnd: null,
      callbackOnStepEndTensorInputs: null,
      clipSkip: null,
      timesteps: null,
      sigmas: null,
    };
    const { images } = await pipeline("a cat", { ...nothing, numInferenceSteps: 1 });
    const { sample_size: size } = pipeline.unet.config;
    expect(images[0].width).toBe((size as number) * pipeline.vae.scaleFactor);
    const before = pipeline.scheduler.setTimesteps;
    pipeline.scheduler.setTimesteps = (count) => {
      throw new Error(`${String(count)} steps`);
    };
    await expect(pipeline("a cat", null)).rejects.toThrow("50 steps");
    pipeline.scheduler.setTimesteps = before;
    for (const name of ["numInferenceSteps", "numImagesPerPrompt", "guidanceScale", "outputType", "eta"])
      await expect(call({ [name]: null })).rejects.toThrow(`\`${name}\` must be`);
  });

  test("names that are no options are warned of", async () => {
    const seen = await warnings(() => call({ numSteps: 2, padding_mask_crop: {}, returnDict: undefined }));
    expect(seen).toHaveLength(1);
    expect(seen[0]).toMatch(
      /^StableDiffusionPipeline: options that a call does not have are ignored: `numSteps` \(there are negativePrompt, .*signal\), `padding_mask_crop` \(there are /,
    );
    for (const wrong of ["fast", 5, [1]])
      await expect(pipeline("a cat", wrong as object)).rejects.toThrow(
        `StableDiffusionPipeline: options must be an object, got ${JSON.stringify(wrong)} (there are negativePrompt, `,
      );
  });

  test("Python's spelling is taken, too, and draws the same", async () => {
    const draw = async (options: object): Promise<number[]> => {
      const generator = new Generator("cpu").manualSeed(8);
      const { images } = await pipeline("a cat", { generator, ...options } as StableDiffusionOptions);
      const { data, width, height } = images[0];
      return [width, height, ...data];
    };
    const timesteps: number[] = [];
    const given: string[] = [];
    const seen = await warnings(async () => {
      const picture = await draw({
        num_inference_steps: 2,
        height: 16,
        width: 16,
        guidance_scale: 3,
        negative_prompt: "a dog",
        num_images_per_prompt: 1,
        clip_skip: null,
        output_type: "pil",
        callback_on_step_end_tensor_inputs: ["latents", "prompt_embeds"],
        callback_on_step_end: (_: unknown, __: number, t: number, tensors: object) => {
          timesteps.push(t);
          given.push(Object.keys(tensors).join());
        },
      });
      const own = { numInferenceSteps: 2, height: 16, width: 16, guidanceScale: 3, negativePrompt: "a dog" };
      expect(picture).toEqual(await draw(own));
    });
    expect(seen).toEqual([]);
    expect(timesteps).toHaveLength(3); // PNDM calls the model once more
    expect(given[0]).toBe("latents,prompt_embeds");
    await expect(call({ num_inference_steps: 2.5, numInferenceSteps: undefined })).rejects.toThrow(
      "`numInferenceSteps` must be a positive integer, got 2.5",
    );
    await expect(call({ num_inference_steps: 1 })).rejects.toThrow(
      "StableDiffusionPipeline: got both `numInferenceSteps` and `num_inference_steps`, which are one option",
    );
    const [alone, none] = await pipeline.encodePrompt("a cat", { do_classifier_free_guidance: false } as object);
    expect(none).toBe(null);
    alone.dispose();
  });

  test("without guidance nobody looks at negative prompts, and callbacks get null for their embeddings", async () => {
    const seen: unknown[] = [];
    const options = (negativePrompt?: readonly string[]): StableDiffusionOptions & { outputType: "np" } => ({
      ...SMALL,
      guidanceScale: 1,
      negativePrompt,
      generator: new Generator("cpu").manualSeed(8),
      outputType: "np",
      callbackOnStepEndTensorInputs: ["latents", "negative_prompt_embeds"],
      callbackOnStepEnd: (_, __, ___, tensors) => {
        seen.push(Object.keys(tensors).join(), tensors.negative_prompt_embeds);
        return tensors;
      },
    });
    const drawn: Float32Array[] = [];
    for (const negative of [undefined, ["a dog"], ["a dog", "a bird", "a fish"]]) {
      const { images } = await pipeline("a cat", options(negative));
      drawn.push((await images.data()) as Float32Array);
      images.dispose();
    }
    expect(drawn[1]).toEqual(drawn[0]);
    expect(drawn[2]).toEqual(drawn[0]);
    expect(new Set(seen)).toEqual(new Set(["latents,negative_prompt_embeds", null]));
    await expect(call({ negativePrompt: ["a dog"], guidanceScale: 1.01 })).rejects.toThrow("should be the same type");
  });

  test("encodePrompt takes no device, and names its own options", async () => {
    const encode = pipeline.encodePrompt.bind(pipeline) as (...args: unknown[]) => Promise<unknown>;
    await expect(encode("a cat", "cpu", 1, true)).rejects.toThrow(
      'encodePrompt: options must be an object, got "cpu" (there are numImagesPerPrompt, doClassifierFreeGuidance, ',
    );
  });

  const WRONG: [name: string, options: () => object, message: string][] = [
    ["a number as generator", () => ({ generator: 5 }), "`generator` must be a Generator or a list of them, got 5"],
    ["an object as generator", () => ({ generator: {} }), "`generator` must be a Generator or a list of them, got {}"],
    ["a list of numbers", () => ({ generator: [5] }), "`generator` must be a Generator or a list of them, got [5]"],
    [
      "latents that are a list",
      () => ({ latents: [1] }),
      "`latents` must be a Tensor [batch, channels, height, width]",
    ],
    [
      "latents that are numbers",
      () => ({ latents: new Float32Array(16) }),
      "on the pipeline's device, got Float32Array(16); wrap it: Tensor.from(data, shape)",
    ],
    ["latents elsewhere", () => ({ latents: zeros([1, 4, 8, 8], other) }), "device, but it is on another device"],
    ["guidance beyond float32", () => ({ guidanceScale: 1e39 }), "got 1e+39, which is infinite in float32"],
    ["rescaling beyond float32", () => ({ guidanceRescale: -1e39 }), "`guidanceRescale` must be a finite number"],
    ["a callback that is none", () => ({ callbackOnStepEnd: 5 }), "`callbackOnStepEnd` must be a function, got 5"],
    [
      "one name for a list",
      () => ({ callbackOnStepEndTensorInputs: "latents" }),
      '`callbackOnStepEndTensorInputs` must be a list of names, got "latents"',
    ],
    [
      "a controller as signal",
      () => ({ signal: new AbortController() }),
      "signal must be an AbortSignal, of an AbortController its .signal, got AbortController",
    ],
    ["infinite eta", () => ({ eta: Infinity }), "`eta` must be a finite number, got Infinity"],
  ];
  for (const [name, options, message] of WRONG)
    test(`refuses ${name}`, async () => {
      await expect(call(options())).rejects.toThrow(message);
    });

  test("embeddings must be tensors [batch, tokens, width] on the pipeline's device", async () => {
    const embeds = (promptEmbeds: unknown): Promise<unknown> =>
      pipeline(null, { ...SMALL, promptEmbeds: promptEmbeds as Tensor });
    const wanted = "`promptEmbeds` must be a Tensor [batch, tokens, width] of floats on the pipeline's device";
    await expect(embeds([[1]])).rejects.toThrow(`${wanted}, got [[1]]`);
    await expect(embeds(zeros([77, 32]))).rejects.toThrow(`${wanted}, got Tensor(float32 [77, 32])`);
    await expect(embeds(Tensor.from(new Int32Array(77 * 32), [1, 77, 32]))).rejects.toThrow("got Tensor(int32");
    await expect(embeds(zeros([1, 77, 32], other))).rejects.toThrow(`${wanted}, but it is on another device`);
    await expect(call({ negativePromptEmbeds: zeros([32]) })).rejects.toThrow(
      "`negativePromptEmbeds` must be a Tensor",
    );
  });

  const RETURNED: [returned: () => unknown, message: string][] = [
    [() => ({ latents: 5 }), "callbackOnStepEnd: the returned latents must be a Tensor, got 5"],
    [() => ({ prompt_embeds: [1] }), "the returned prompt_embeds must be a Tensor, got [1]"],
    [
      () => ({ latents: new Float32Array(16) }),
      "must be a Tensor, got Float32Array(16); wrap it: Tensor.from(data, shape)",
    ],
    [() => new Float32Array(16), "such as { latents } or nothing, got Float32Array(16)"],
    [() => 5, "must return an object of tensors such as { latents } or nothing, got 5"],
    [() => ({ latents: zeros([1, 4, 4, 4]) }), "the returned latents must be [1, 4, 2, 2], got [1, 4, 4, 4]"],
    [() => ({ latents: zeros([1, 4, 8, 8], other) }), "the returned latents must be on the pipeline's device"],
    [() => void (pipeline.guidanceScale = NaN), "`guidanceScale` must be a finite number, got NaN"],
  ];
  for (const [returned, message] of RETURNED)
    test(`a callback: ${message}`, async () => {
      await expect(call({ callbackOnStepEnd: returned })).rejects.toThrow(message);
    });
});

describe("the options of other pipelines", () => {
  const source = fixturePath("models/repos/ddpm-cifar");

  test("what is no option is refused, or warned of where Python's call swallows it", async () => {
    const ddpm = await DDPMPipeline.fromPretrained(source);
    await expect(ddpm("a cat" as unknown as UnconditionalOptions)).rejects.toThrow(
      'DDPMPipeline: options must be an object, got "a cat" (there are batchSize, ',
    );
    await expect(ddpm({ num_steps: 1 } as object)).rejects.toThrow(
      "DDPMPipeline: got options that a call does not have: `num_steps` (there are batchSize, ",
    );
    ddpm.setProgressBarConfig({ disable: true });
    const { images: two } = await ddpm({ num_inference_steps: 1, batch_size: 2 } as object);
    expect(two).toHaveLength(2);
    await expect(ddpm({ generator: 5 } as unknown as UnconditionalOptions)).rejects.toThrow("`generator` must be a");
    ddpm.dispose();
    const pndm = await PNDMPipeline.fromPretrained(source);
    pndm.setProgressBarConfig({ disable: true });
    const seen = await warnings(() => pndm({ numInferenceSteps: 4, eta: 1 } as UnconditionalOptions));
    expect(seen.join()).toMatch(/^PNDMPipeline: options that a call does not have are ignored: `eta` \(there are /);
    pndm.dispose();
  });

  test("Flax", async () => {
    const [flax, params] = await FlaxStableDiffusionPipeline.fromPretrained(FLAX_REPO, { variant: "bf16" });
    const ids = flax.prepareInputs("a cat");
    const draw = (options: FlaxCallOptions | null): Promise<{ images: Tensor }> =>
      flax(ids, params, PRNGKey(0), 1, options);
    await expect(draw({ guidance: 3 } as object)).rejects.toThrow(
      "does not have: `guidance` (there are guidanceScale,",
    );
    await expect(draw({ guidance_scale: "3" } as object)).rejects.toThrow(
      '`guidanceScale` must be a finite number, got "3"',
    );
    await expect(draw({ guidanceScale: 1e39 })).rejects.toThrow("infinite in float32");
    const { images } = await draw({ height: null, width: null, latents: null, negPromptIds: null });
    for (const owned of [images, ids, params] as (Tensor | FlaxParams)[]) owned.dispose();
  });
});
