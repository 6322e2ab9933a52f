import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  DDIMScheduler,
  Generator,
  StableDiffusionPipeline,
  Tensor,
  type StableDiffusionOptions,
} from "../../src/index.js";
import { linearCombination } from "../../src/tensor/ops/elementwise.js";
import { slice } from "../../src/tensor/ops/copy.js";
import { fixturePath, readFixture } from "../support/files.js";
import { differences, loadRepo, pipelineRuns, runGolden } from "../support/pipelines.js";
import { changed, type Changes } from "../support/repositories.js";

const runs = await pipelineRuns();
const loaded = new Map<string, Promise<StableDiffusionPipeline>>();
const load = (repo: string): Promise<StableDiffusionPipeline> => {
  if (!loaded.has(repo)) loaded.set(repo, loadRepo(repo));
  return loaded.get(repo)!;
};

describe("StableDiffusionPipeline draws what diffusers draws", () => {
  afterAll(async () => {
    for (const pipeline of loaded.values()) (await pipeline).dispose();
  });

  for (const run of runs)
    test(`${run.id} (${run.scheduler})`, async () => {
      const { result, latents, goldens } = await runGolden(await load(run.repo), run);
      // Sums in another order; 1e-5 of relative noise in the UNet's output moves diffusers' own latents by up to 1.4e-3.
      const bound = 1e-3;
      const steps = [...goldens.keys()]
        .filter((name) => name.startsWith("latents."))
        .map((name) => Number(name.slice(8)));
      const last = goldens.get(`latents.${Math.max(...steps)}`)!;
      expect(differences(latents, last.data).worst).toBeLessThan(bound);
      const image = goldens.get("image");
      if (image) expect(differences(result, image.data).mean).toBeLessThan(1 / 255);
      else expect(differences(result, goldens.get("image_latent")!.data).worst).toBeLessThan(bound);
    });
});

/** The first numbers that diffusers 0.42.1 gives for the repository sd15 with these arguments, which no fixture has. */
describe("arguments beyond the fixtures", () => {
  let sd15: StableDiffusionPipeline;
  beforeAll(async () => {
    sd15 = await loadRepo("sd15");
  });
  afterAll(() => sd15.dispose());

  const draw = async (
    pipeline: StableDiffusionPipeline,
    prompt: string | null,
    options: StableDiffusionOptions,
  ): Promise<number[]> => {
    pipeline.scheduler = DDIMScheduler.fromConfig(pipeline.scheduler.config);
    const { images } = await pipeline(prompt, {
      numInferenceSteps: 3,
      height: 16,
      width: 24,
      generator: new Generator("cpu").manualSeed(8),
      ...options,
      outputType: options.outputType === "np" ? "np" : "latent",
    });
    const values = Array.from((await images.data()).subarray(0, 12));
    images.dispose();
    return values;
  };
  const PROMPT = "a photo of a cat";
  const configOf = async (part: string, more: object): Promise<Changes> => {
    const path = `${part}/config.json`;
    const config = JSON.parse(new TextDecoder().decode(await readFixture(`models/repos/sd15/${path}`))) as object;
    return { [path]: { ...config, ...more } };
  };
  const loadChanged = async (changes: Changes): Promise<StableDiffusionPipeline> => {
    const source = await changed(fixturePath("models/repos/sd15"), changes);
    const pipeline = await StableDiffusionPipeline.fromPretrained(source);
    pipeline.setProgressBarConfig({ disable: true });
    return pipeline;
  };
  const expectNear = (values: readonly number[], expected: readonly number[]): void =>
    expect(differences(values, expected).worst).toBeLessThan(1e-3);

  // The callback's prompt_embeds are what the UNet reads: with guidance, the negative prompts' rows and the prompts'.
  test("a callback changes all embeddings", async () => {
    const shapes: string[] = [];
    const values = await draw(sd15, PROMPT, {
      callbackOnStepEndTensorInputs: ["prompt_embeds"],
      callbackOnStepEnd: (_, step, __, { prompt_embeds: embeds }) => {
        shapes.push(embeds!.shape.join());
        if (step === 0) return { prompt_embeds: linearCombination([[0.5, embeds!]]) };
      },
    });
    expect(shapes).toEqual(["2,77,32", "2,77,32", "2,77,32"]);
    const expected = [0.49256, 4.7332, 4.23257, -0.82347, 2.25349, 5.3563, 6.27054, 8.01272, 0.1224, 2.01083, -0.80699];
    expectNear(values, [...expected, 0.27023]);
  });

  test("a callback ends the guidance", async () => {
    const { device } = sd15;
    const use = async (): Promise<number> => {
      device.trim();
      await device.synchronize();
      return device.memoryUse.buffers;
    };
    const before = await use();
    const values = await draw(sd15, PROMPT, {
      callbackOnStepEndTensorInputs: ["prompt_embeds"],
      callbackOnStepEnd: (running, step, _, { prompt_embeds: embeds }) => {
        if (step !== 0) return;
        running.guidanceScale = 0;
        return { prompt_embeds: slice(embeds!, 0, 1, 1) };
      },
    });
    const expected = [0.10271, 4.35203, 4.20463, -0.62942, 2.53876, 5.25198, 5.78653, 7.32941, 0.35165, 1.61615];
    expectNear(values, [...expected, -0.27307, 0.27228]);
    expect(await use()).toBe(before);
  });

  test("a callback changes the rescaling of the guidance", async () => {
    const values = await draw(sd15, PROMPT, {
      callbackOnStepEnd: (running, step) => {
        if (step === 0) running.guidanceRescale = 0.7;
      },
    });
    const expected = [1.37441, 4.23947, 4.2673, -1.29149, 2.92124, 5.31518, 6.64168, 8.83116, 0.52948, 2.56062];
    expectNear(values, [...expected, -0.71683, -0.30224]);
  });

  test("decodeLatents makes of a call's latents what the call makes of them", async () => {
    const { device } = sd15;
    const options = { numInferenceSteps: 2, height: 16, width: 24, generator: new Generator("cpu") };
    const drawn = async <T extends "np" | "pt" | "latent">(outputType: T): Promise<Tensor> => {
      options.generator.manualSeed(8);
      return (await sd15(PROMPT, { ...options, outputType })).images;
    };
    const latents = await drawn("latent");
    for (const outputType of ["np", "pt"] as const) {
      const [wanted, decoded] = [await drawn(outputType), await sd15.decodeLatents(latents, outputType)];
      expect(decoded.shape).toEqual(wanted.shape);
      expect(await decoded.data()).toEqual(await wanted.data());
      for (const tensor of [wanted, decoded]) tensor.dispose();
    }
    options.generator.manualSeed(8);
    const { images } = await sd15(PROMPT, options);
    expect(await sd15.decodeLatents(latents)).toEqual(images);
    await device.synchronize();
    const { bytes } = device.memoryUse;
    device.trim();
    await device.synchronize();
    expect(device.memoryUse.bytes, "no memory is kept back").toBe(bytes);

    const refused = (given: unknown, outputType?: unknown): Promise<unknown> =>
      sd15.decodeLatents(given as Tensor, outputType as "np");
    await expect(refused([1])).rejects.toThrow("`latents` must be a Tensor [batch, channels, height, width]");
    await expect(refused(undefined)).rejects.toThrow("`latents` must be a Tensor [batch, channels, height, width]");
    await expect(refused(latents.reshape([latents.size]))).rejects.toThrow(
      "`latents` must be a Tensor [batch, channels,",
    );
    await expect(refused(latents, "latent")).rejects.toThrow(
      '`outputType` must be one of image, pil, np, pt, got "latent"',
    );
    latents.dispose();
  });

  test("embeddings of 5 tokens, and a negative prompt as text", async () => {
    const promptEmbeds = Tensor.from(
      Float32Array.from({ length: 5 * 32 }, (_, i) => Math.sin(i)),
      [1, 5, 32],
    );
    const values = await draw(sd15, null, { promptEmbeds, negativePrompt: "a dog" });
    promptEmbeds.dispose();
    const expected = [-8.2325, 3.66571, 9.7581, 2.99672, -1.06814, 1.91324, 5.21196, 1.60264, 7.08527, -1.40151];
    expectNear(values, [...expected, 0.96733, -0.02954]);
  });

  test("a text encoder whose config says use_attention_mask", async () => {
    const pipeline = await loadChanged(await configOf("text_encoder", { use_attention_mask: true }));
    const values = await draw(pipeline, PROMPT, { negativePrompt: "a dog" });
    pipeline.dispose();
    const expected = [0.42407, 2.93247, 7.09786, 0.40038, 2.13928, 4.06327, 1.07137, 1.93063, 2.77504, 0.89676];
    expectNear(values, [...expected, -0.15512, 0.7098]);
  });

  test("the VAE's shift_factor, which this pipeline of diffusers leaves out", async () => {
    const pipeline = await loadChanged(await configOf("vae", { shift_factor: 0.5 }));
    const values = await draw(pipeline, PROMPT, { outputType: "np" });
    pipeline.dispose();
    const expected = [0.4836, 0.42104, 0.49956, 0.43141, 0.44266, 0.44084, 0.39456, 0.50117, 0.42266, 0.41601, 0.56163];
    expectNear(values, [...expected, 0.4261]);
  });
});
