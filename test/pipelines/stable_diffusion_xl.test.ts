import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  AutoencoderKL,
  compareSchedulers,
  DiffusionPipeline,
  estimateMemory,
  Generator,
  openRepository,
  schedulerClass,
  SDXLCFGCutoffCallback,
  StableDiffusionXLPipeline,
  Tensor,
  type XLOptions,
} from "../../src/index.js";
import { fixturePath, readFixtureJSON } from "../support/files.js";
import { testDevice } from "../support/gpu.js";
import { camelCase, differences } from "../support/pipelines.js";
import { changed } from "../support/repositories.js";
import { warnings } from "../support/warnings.js";

/** What scripts/make_sdxl.py wrote. */
interface Run {
  scheduler: string;
  config: object;
  options: Record<string, unknown>;
  shape: number[];
  images: number[];
  given?: boolean;
  force_zeros_for_empty_prompt?: boolean;
  vae?: object;
}
const { runs } = await readFixtureJSON<{ runs: Run[] }>("pipelines/sdxl.json");
const REPO = fixturePath("models/repos/sdxl");
const WIDTH = 56;
const POOLED = 28;

const seeded = (seed: number): Generator => new Generator("cpu").manualSeed(seed);
function ramp(from: number, to: number, shape: number[]): Tensor {
  const size = shape.reduce((a, b) => a * b, 1);
  const values = Float32Array.from({ length: size }, (_, i) => from + ((to - from) * i) / (size - 1));
  return Tensor.from(values, shape);
}
const embeds = (): Partial<XLOptions> => ({
  promptEmbeds: ramp(-1, 1, [1, 77, WIDTH]),
  pooledPromptEmbeds: ramp(-1, 1, [1, POOLED]),
  negativePromptEmbeds: ramp(1, -1, [1, 77, WIDTH]),
  negativePooledPromptEmbeds: ramp(1, -1, [1, POOLED]),
});
const small = { height: 32, width: 48, numInferenceSteps: 5 };

async function numbers({ images }: { images: Tensor }): Promise<Float32Array> {
  const values = (await images.data()) as Float32Array;
  images.dispose();
  return values;
}
const dispose = (options: object): void => {
  for (const value of Object.values(options)) if (value instanceof Tensor) value.dispose();
};

describe("StableDiffusionXLPipeline", () => {
  let pipeline: StableDiffusionXLPipeline;
  beforeAll(async () => {
    await testDevice();
    pipeline = await DiffusionPipeline.fromPretrained<StableDiffusionXLPipeline>(REPO);
    pipeline.setProgressBarConfig({ disable: true });
  });
  afterAll(() => pipeline.dispose());

  for (const [
    i,
    { scheduler, config, options, images, given, force_zeros_for_empty_prompt: zeros, vae },
  ] of runs.entries())
    test(`${i}: ${scheduler} ${JSON.stringify({ ...config, ...options, given, zeros, vae })}, as diffusers`, async () => {
      let from = pipeline;
      let other: AutoencoderKL | undefined;
      if (vae) {
        const decoder = await AutoencoderKL.loadConfig(REPO, { subfolder: "vae" });
        const source = await changed(REPO, { "vae/config.json": { ...decoder, ...vae } });
        other = await AutoencoderKL.fromPretrained(source, { subfolder: "vae" });
      }
      if (other || zeros !== undefined)
        from = StableDiffusionXLPipeline.fromPipe(pipeline, {
          ...(other && { vae: other }),
          ...(zeros !== undefined && { force_zeros_for_empty_prompt: zeros }),
        });
      from.setProgressBarConfig({ disable: true });
      const original = from.scheduler;
      from.scheduler = schedulerClass(scheduler).fromConfig(original.config, config);
      const { prompt = null, seeds, ...call } = options as { prompt?: string; seeds?: number[] };
      const named = Object.fromEntries(Object.entries(call).map(([name, value]) => [camelCase(name), value]));
      const generator = seeds ? seeds.map(seeded) : seeded(8);
      const tensors = given ? embeds() : {};
      const all = { outputType: "latent", ...small, ...named, ...tensors, generator } as XLOptions;
      const warned = await warnings(async () => {
        const got = await numbers((await from(prompt, all)) as unknown as { images: Tensor });
        // As in test/pipelines/stable_diffusion.test.ts; pictures to a step of 1/255.
        const tolerance = all.outputType === "np" ? 1 / 255 : 1e-3;
        expect(differences(got, images).worst).toBeLessThan(tolerance);
      });
      const truncated = warned.filter((text) => text.startsWith("The following part of your input was truncated"));
      expect(truncated).toHaveLength(prompt !== null && prompt.length > 300 ? 2 : 0);
      from.scheduler = original;
      dispose(tensors);
      other?.dispose();
    });

  test("is compared under several schedulers", async () => {
    const options = { ...small, numInferenceSteps: undefined, steps: 1, schedulers: ["DDIMScheduler"], seed: 8 };
    const { cells } = await compareSchedulers(pipeline, "a cat", options);
    expect(cells.map(({ scheduler, image }) => [scheduler, image.width])).toEqual([["DDIMScheduler", 48]]);
  });

  test("prints what it is, and says what it holds", async () => {
    expect(String(pipeline)).toContain('"force_zeros_for_empty_prompt": true');
    expect(pipeline.config.text_encoder_2).toEqual(["transformers", "CLIPTextModelWithProjection"]);
    expect([pipeline.guidanceScale, pipeline.vaeScaleFactor, pipeline.dtype]).toEqual([5, 8, "float32"]);
    expect(pipeline).toBeInstanceOf(StableDiffusionXLPipeline);
    const { images, ...rest } = await pipeline("a cat", { ...small, numInferenceSteps: 1 });
    expect([images[0].width, images[0].height, Object.keys(rest)]).toEqual([48, 32, []]);
  });

  test("in float16 the VAE stays float32, unless its config or the caller says otherwise", async () => {
    const load = async (source: Parameters<typeof DiffusionPipeline.fromPretrained>[0], dtype: unknown) => {
      const loaded = await StableDiffusionXLPipeline.fromPretrained(source, { dtype: dtype as "float16" });
      loaded.setProgressBarConfig({ disable: true });
      return loaded;
    };
    const half = await load(REPO, "float16");
    expect([half.dtype, half.unet.dtype, half.text_encoder_2.dtype, half.vae.dtype]).toEqual([
      "float16",
      "float16",
      "float16",
      "float32",
    ]);
    const options = { ...small, outputType: "np" } as const;
    const [a, b] = [
      await numbers(await half("a cat", { ...options, generator: seeded(8) })),
      await numbers(await pipeline("a cat", { ...options, generator: seeded(8) })),
    ];
    expect(differences(a, b).mean).toBeLessThan(0.02);
    half.dispose();
    const config = await AutoencoderKL.loadConfig(REPO, { subfolder: "vae" });
    const fixed = await load(await changed(REPO, { "vae/config.json": { ...config, force_upcast: false } }), "float16");
    expect(fixed.vae.dtype).toBe("float16");
    fixed.dispose();
    const told = await load(REPO, { vae: "float16", default: "float32" });
    expect([told.vae.dtype, told.unet.dtype]).toEqual(["float16", "float32"]);
    told.dispose();
  });

  test("encodePrompt gives what a call takes; a pipeline without its first text encoder takes it, too", async () => {
    const [promptEmbeds, negativePromptEmbeds, pooled, negativePooled] = await pipeline.encodePrompt("a cat", {
      negativePrompt: "ugly",
    });
    const shapes = [promptEmbeds, negativePromptEmbeds!, pooled, negativePooled!].map(({ shape }) => shape);
    expect(shapes).toEqual([
      [1, 77, WIDTH],
      [1, 77, WIDTH],
      [1, POOLED],
      [1, POOLED],
    ]);
    const given = {
      promptEmbeds,
      negativePromptEmbeds,
      pooledPromptEmbeds: pooled,
      negativePooledPromptEmbeds: negativePooled,
    };
    const options = { ...small, outputType: "latent" } as const;
    const wanted = await numbers(await pipeline("a cat", { ...options, negativePrompt: "ugly", generator: seeded(8) }));
    const without = StableDiffusionXLPipeline.fromPipe(pipeline, {
      ...{ text_encoder: null, tokenizer: null, text_encoder_2: null, tokenizer_2: null },
    });
    without.setProgressBarConfig({ disable: true });
    expect(await numbers(await without(null, { ...options, ...given, generator: seeded(8) }))).toEqual(wanted);
    await expect(without("a cat", options)).rejects.toThrow(
      "StableDiffusionXLPipeline: the component `tokenizer_2` is missing; CLIPTokenizer is needed to encode prompts",
    );
    dispose(given);
    const alone = StableDiffusionXLPipeline.fromPipe(pipeline, { text_encoder: null, tokenizer: null });
    const [narrow, , wide] = await alone.encodePrompt("a cat", { doClassifierFreeGuidance: false });
    expect([narrow.shape, wide.shape]).toEqual([
      [1, 77, 32],
      [1, POOLED],
    ]);
    for (const tensor of [narrow, wide]) tensor.dispose();
  });

  test("callbacks get what goes with the prompts; a cutoff ends the guidance of all of it", async () => {
    const seen: string[] = [];
    await pipeline(["a cat", "a dog"], {
      ...{ ...small, numInferenceSteps: 1, generator: seeded(8) },
      callbackOnStepEndTensorInputs: ["latents", "prompt_embeds", "add_text_embeds", "add_time_ids"],
      callbackOnStepEnd: (_, __, ___, tensors) =>
        void Object.entries(tensors).forEach(([name, tensor]) => seen.push(`${name} ${String(tensor?.shape)}`)),
    });
    expect(seen).toEqual([
      "latents 2,4,4,6",
      `prompt_embeds 4,77,${WIDTH}`,
      `add_text_embeds 4,${POOLED}`,
      "add_time_ids 4,6",
    ]);
    const draw = async (options: Partial<XLOptions>): Promise<Float32Array> =>
      numbers(await pipeline(["a cat", "a dog"], { ...small, generator: seeded(8), ...options, outputType: "latent" }));
    const cut = await draw({ callbackOnStepEnd: new SDXLCFGCutoffCallback({ cutoffStepIndex: 1 }) });
    const whole = await draw({});
    expect(cut.every(Number.isFinite)).toBe(true);
    expect(cut).not.toEqual(whole);
    expect(await draw({ callbackOnStepEnd: new SDXLCFGCutoffCallback() })).toEqual(whole);
  });

  test("memory is what it was; estimateMemory counts both encoders and the wide VAE", async () => {
    const { device } = pipeline;
    const draw = (): Promise<unknown> => pipeline("a cat", { ...small, numInferenceSteps: 2, generator: seeded(8) });
    await draw();
    const { bytes } = device.memoryUse;
    await draw();
    expect(device.memoryUse.bytes).toBe(bytes);
    const [full, half] = [
      await estimateMemory(REPO, { device }),
      await estimateMemory(REPO, { device, dtype: "float16" }),
    ];
    const weights = (await estimateMemory(REPO, { device, dtype: { vae: "float16", default: "float16" } })).weights;
    expect(full.weights).toBeGreaterThan(1.5 * half.weights);
    expect(half.weights).toBeGreaterThan(weights);
    for (const { weights: least, peak } of [full, half]) expect(peak).toBeGreaterThan(least);
  });

  const WRONG: [name: string, options: () => object, message: string][] = [
    [
      "promptEmbeds alone",
      () => ({ prompt: null, promptEmbeds: embeds().promptEmbeds }),
      "`pooledPromptEmbeds` also have",
    ],
    [
      "negativePromptEmbeds alone",
      () => ({ negativePromptEmbeds: embeds().negativePromptEmbeds }),
      "If `negativePromptEmbeds` are provided, `negativePooledPromptEmbeds` also have to be passed.",
    ],
    [
      "prompt2 with embeddings",
      () => ({ prompt: null, ...embeds(), prompt2: "a dog" }),
      "Cannot forward both `prompt2` and `promptEmbeds`.",
    ],
    ["prompt2 that is a number", () => ({ prompt2: 7 }), "`prompt2` has to be a string or a list of strings but is 7"],
    [
      "prompt2 of another length",
      () => ({ prompt2: ["a", "b"] }),
      "`prompt2` has batch size 2, but `prompt` has batch size 1.",
    ],
    [
      "a negative prompt of another length",
      () => ({ negativePrompt: ["a", "b"] }),
      "`negativePrompt` has batch size 2",
    ],
    [
      "a pooled vector of another batch",
      () => ({ pooledPromptEmbeds: ramp(0, 1, [2, POOLED]) }),
      "has batch size 2, but the prompts are 1",
    ],
    ["a size that is a number", () => ({ originalSize: 1024 }), "`originalSize` must be two numbers, [height, width]"],
    ["a size of text", () => ({ targetSize: ["a", 2] }), '`targetSize` must be a finite number, got "a"'],
    [
      "denoisingEnd that is a text",
      () => ({ denoisingEnd: "0.5" }),
      '`denoisingEnd` must be a finite number, got "0.5"',
    ],
    ["clipSkip beyond the layers", () => ({ clipSkip: 3 }), "`clipSkip` must be below 3"],
    [
      "negative_prompt_embeds for the callback",
      () => ({ callbackOnStepEndTensorInputs: ["negative_prompt_embeds"] }),
      "must be of latents, prompt_embeds, add_text_embeds, add_time_ids, got",
    ],
    ["odd sizes", () => ({ height: 33 }), "divisible by 8"],
  ];
  for (const [name, make, message] of WRONG)
    test(`refuses ${name}`, async () => {
      const { prompt = "a cat", ...options } = make() as { prompt?: string | null };
      await expect(pipeline(prompt, { ...small, ...options })).rejects.toThrow(message);
      dispose(options);
    });

  test("takes both spellings; a watermark and missing components are told of", async () => {
    const draw = async (options: object): Promise<Float32Array> =>
      numbers((await pipeline("a cat", { ...small, generator: seeded(8), outputType: "latent", ...options })) as never);
    expect(await draw({ prompt_2: "a dog" })).toEqual(await draw({ prompt2: "a dog" }));
    const { components } = pipeline;
    expect(() => new StableDiffusionXLPipeline({ ...components, add_watermarker: true as never })).toThrow(
      "add_watermarker is true, but this version makes no watermarks",
    );
    expect(() => new StableDiffusionXLPipeline({ ...components, unet: undefined as never })).toThrow(
      "StableDiffusionXLPipeline: components unet are missing",
    );
    const index = (await readFixtureJSON("models/repos/sdxl/model_index.json")) as object;
    const source = await changed(REPO, { "model_index.json": { ...index, vae: ["diffusers", "AutoencoderXXL"] } });
    await expect(DiffusionPipeline.fromPretrained(source)).rejects.toThrow("vae is a diffusers.AutoencoderXXL");
    expect((await openRepository(REPO)).name).toContain("sdxl");
  });
});
