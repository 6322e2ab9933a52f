import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  DiffusionPipeline,
  Generator,
  NumericalError,
  Tensor,
  type DDPMPipeline,
  type StableDiffusionOptions,
  type StableDiffusionPipeline,
} from "../../src/index.js";
import { fixturePath } from "../support/files.js";
import { loadRepo } from "../support/pipelines.js";

const PROMPT = "a photograph of an astronaut";
const filled = (value: number, shape: readonly number[]): Tensor =>
  Tensor.from(new Float32Array(shape.reduce((a, b) => a * b)).fill(value), shape);

describe("numbers that are infinite or NaN reject, and paint nothing black", () => {
  let pipeline: StableDiffusionPipeline;
  beforeAll(async () => {
    pipeline = await loadRepo("sd15");
    await pipeline(PROMPT, { numInferenceSteps: 1 }); // makes what stays with the weights
  });
  afterAll(() => pipeline.dispose());

  const use = async (): Promise<number> => {
    await pipeline.device.synchronize();
    const { buffers, pooledBuffers } = pipeline.device.memoryUse;
    return buffers - pooledBuffers;
  };
  const expectError = async (
    options: StableDiffusionOptions,
    where: { module: string; step?: number },
  ): Promise<void> => {
    const call = pipeline(PROMPT, { numInferenceSteps: 3, generator: new Generator().manualSeed(8), ...options });
    const error = await call.catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(NumericalError);
    const { module, step, code, message } = error as NumericalError;
    expect({ module, step }).toEqual({ step: undefined, ...where });
    expect(code).toBe("WD_NUMERICAL");
    expect(message).toMatch(/numbers are infinite or NaN\. Use dtype "float32", a smaller guidanceScale/);
  };

  for (const outputType of ["image", "np", "pt", "latent"] as const)
    test(`latents that hold NaN, ${outputType}`, async () => {
      const latents = filled(NaN, [1, 4, 8, 8]);
      const before = await use();
      await expectError({ latents, outputType: outputType as "image" }, { module: "latents" });
      expect(await use()).toBe(before);
      latents.dispose();
    });

  test("a step that the callback spoils", async () => {
    await expectError(
      { callbackOnStepEnd: (_, step, __, { latents }) => (step === 1 ? { latents: filled(NaN, latents!.shape) } : {}) },
      { module: "unet", step: 2 },
    );
  });

  test("the last step, after which only the scheduler's numbers are left", async () => {
    const spoil: StableDiffusionOptions["callbackOnStepEnd"] = (_, step, __, { latents }) =>
      step === 3 ? { latents: filled(Infinity, latents!.shape) } : {};
    await expectError({ callbackOnStepEnd: spoil }, { module: "scheduler" });
  });

  test("a VAE that gives NaN", async () => {
    const { decode } = pipeline.vae;
    pipeline.vae.decode = ((z: Tensor) => ({ sample: filled(NaN, [z.shape[0], 3, 64, 64]) })) as typeof decode;
    try {
      await expectError({}, { module: "vae" });
    } finally {
      pipeline.vae.decode = decode;
    }
  });

  test("a prompt's embeddings", async () => {
    const width = pipeline.unet.config.cross_attention_dim as number;
    const [promptEmbeds, negativePromptEmbeds] = [NaN, 0].map((value) => filled(value, [1, 77, width]));
    const call = pipeline(null, { promptEmbeds, negativePromptEmbeds, numInferenceSteps: 1 });
    await expect(call).rejects.toThrow("text_encoder: numbers are infinite or NaN");
    for (const tensor of [promptEmbeds, negativePromptEmbeds]) tensor.dispose();
  });

  test("a guidance that overflows float16", async () => {
    const half = await DiffusionPipeline.fromPretrained<StableDiffusionPipeline>(fixturePath("models/repos/sd15"), {
      dtype: "float16",
    });
    half.setProgressBarConfig({ disable: true });
    await expect(half(PROMPT, { guidanceScale: 1e6, numInferenceSteps: 2 })).rejects.toThrow(
      /^unet, step \d: numbers are infinite or NaN/,
    );
    half.dispose();
  });

  test("pipelines without a prompt", async () => {
    const ddpm = await DiffusionPipeline.fromPretrained<DDPMPipeline>(fixturePath("models/repos/ddpm-cifar"));
    ddpm.setProgressBarConfig({ disable: true });
    const { forward } = ddpm.unet;
    ddpm.unet.forward = (x) => ({ sample: filled(NaN, x.shape) });
    await expect(ddpm({ numInferenceSteps: 2 })).rejects.toThrow("unet, step 0: numbers are infinite or NaN");
    ddpm.unet.forward = forward;
    ddpm.dispose();
  });
});
