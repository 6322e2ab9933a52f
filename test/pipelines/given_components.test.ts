import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  AutoencoderTiny,
  DDIMPipeline,
  DDIMScheduler,
  DiffusionPipeline,
  FlowMatchEulerDiscreteScheduler,
  Generator,
  type DDPMPipeline,
  type Scheduler,
  type StableDiffusionOptions,
  type StableDiffusionPipeline,
  type Tensor,
} from "../../src/index.js";
import { encodePrompt } from "../../src/pipelines/call/encode_prompt.js";
import { fixturePath, readFixtureJSON } from "../support/files.js";
import { loadRepo } from "../support/pipelines.js";
import { changed } from "../support/repositories.js";
import { warnings } from "../support/warnings.js";

const SD15 = "models/repos/sd15";

/** The parts of a pipeline that is loaded once: others are made of them. */
let whole: StableDiffusionPipeline;
beforeAll(async () => void (whole = await loadRepo("sd15")));
afterAll(() => whole.dispose());

/** Loads a pipeline in which the components that are not named are those of `whole`. */
async function load(
  options: Record<string, unknown>,
  index: Record<string, unknown> = {},
): Promise<StableDiffusionPipeline> {
  const { vae, text_encoder, tokenizer, unet } = whole;
  const content = { ...(await readFixtureJSON<object>(`${SD15}/model_index.json`)), ...index };
  const source = await changed(fixturePath(SD15), { "model_index.json": content });
  const given = { vae, text_encoder, tokenizer, unet, ...options };
  const pipeline = await DiffusionPipeline.fromPretrained<StableDiffusionPipeline>(source, given);
  pipeline.setProgressBarConfig({ disable: true });
  return pipeline;
}

const SMALL = { numInferenceSteps: 1, height: 16, width: 16 };
const draw = async (
  pipeline: StableDiffusionPipeline,
  prompt: string | null,
  options: StableDiffusionOptions = {},
): Promise<number[]> => {
  const generator = new Generator("cpu").manualSeed(8);
  const { images } = await pipeline(prompt, { ...SMALL, generator, ...options, outputType: "latent" });
  const values = Array.from(await images.data());
  images.dispose();
  return values;
};

describe("components that are null", () => {
  test("are [null, null] in the config, and the rest works", async () => {
    const pipeline = await load({ unet: null, text_encoder: null });
    expect(pipeline.unet).toBeNull();
    expect([pipeline.config.unet, pipeline.config.text_encoder, pipeline.config.vae]).toEqual([
      [null, null],
      [null, null],
      ["diffusers", "AutoencoderKL"],
    ]);
    expect(pipeline.device).toBe(whole.device);
    const files = new Map<string, string>();
    await pipeline.savePretrained({
      name: "memory",
      list: async () => [],
      write: async (path, chunks) => {
        const texts: string[] = [];
        for await (const chunk of chunks) texts.push(new TextDecoder().decode(chunk));
        files.set(path, texts.join(""));
      },
      remove: async () => undefined,
    });
    const { unet, vae } = JSON.parse(files.get("model_index.json")!) as Record<string, unknown>;
    expect([unet, vae]).toEqual([
      [null, null],
      ["diffusers", "AutoencoderKL"],
    ]);
    expect([...files.keys()].some((name) => name.startsWith("unet/"))).toBe(false);
    await expect(pipeline("a cat")).rejects.toThrow(
      "StableDiffusionPipeline: the component `unet` is missing; UNet2DConditionModel is needed to draw",
    );
    pipeline.unet = whole.unet;
    expect(pipeline.config.unet).toEqual(["diffusers", "UNet2DConditionModel"]);
  });

  test("without a text encoder embeddings draw, prompts are refused", async () => {
    const pipeline = await load({ text_encoder: null, tokenizer: null });
    const embeds = await encodePrompt(whole, "a cat", { guided: true });
    const both = { promptEmbeds: embeds.positive, negativePromptEmbeds: embeds.negative! };
    expect(await draw(pipeline, null, both)).toEqual(await draw(whole, "a cat"));
    const alone = { promptEmbeds: embeds.positive, guidanceScale: 1 };
    expect(await draw(pipeline, null, alone)).toEqual(await draw(whole, "a cat", { guidanceScale: 1 }));
    const message = "the component `tokenizer` is missing; CLIPTokenizer is needed to encode prompts";
    await expect(draw(pipeline, "a cat")).rejects.toThrow(message);
    await expect(draw(pipeline, null, { promptEmbeds: embeds.positive })).rejects.toThrow(message);
    for (const tensor of [embeds.positive, embeds.negative!]) tensor.dispose();
  });

  // diffusers 0.42.1: vae_scale_factor is 8 where there is no VAE.
  test("without a VAE latents are drawn, pictures are refused", async () => {
    const pipeline = await load({ vae: null });
    const { images } = await pipeline("a cat", { numInferenceSteps: 1, height: 64, width: 32, outputType: "latent" });
    expect(images.shape).toEqual([1, 4, 8, 4]);
    await expect(pipeline("a cat", SMALL)).rejects.toThrow(
      "the component `vae` is missing; AutoencoderKL or AutoencoderTiny is needed to decode the latents",
    );
    await expect(pipeline.decodeLatents(images)).rejects.toThrow("the component `vae` is missing");
    images.dispose();
  });

  test("in pipelines without a prompt", async () => {
    const source = fixturePath("models/repos/ddpm-cifar");
    const pipeline = await DiffusionPipeline.fromPretrained<DDPMPipeline>(source, { unet: null });
    expect(pipeline.config.unet).toEqual([null, null]);
    await expect(pipeline()).rejects.toThrow("DDPMPipeline: the component `unet` is missing");
    await expect(DDIMPipeline.fromPretrained(source, { unet: null, scheduler: null })).rejects.toThrow(
      "DDIMPipeline: the component `scheduler` is missing",
    );
  });

  test("undefined is as not given", async () => {
    const pipeline = await load({ scheduler: undefined });
    expect(pipeline.scheduler.className).toBe("PNDMScheduler");
  });
});

describe("components of the wrong kind", () => {
  const WRONG: [name: string, component: () => unknown, message: string][] = [
    ["unet", () => whole.scheduler, "unet is of type: PNDMScheduler, but should be ModelMixin"],
    ["unet", () => whole.text_encoder, "unet is of type: CLIPTextModel, but should be ModelMixin"],
    ["tokenizer", () => ({}), "tokenizer is of type: object, but should be PreTrainedTokenizer"],
    ["text_encoder", () => whole.unet, "text_encoder is of type: UNet2DConditionModel, but should be PreTrainedModel"],
    ["scheduler", () => whole.unet, "scheduler is of type: UNet2DConditionModel, but should be SchedulerMixin"],
    ["scheduler", () => "DDIMScheduler", "scheduler is of type: string, but should be SchedulerMixin"],
  ];
  for (const [name, component, message] of WRONG)
    test(`${name}: ${message}`, async () => {
      await expect(load({ [name]: component() })).rejects.toThrow(message);
    });

  test("a model of another class is taken with a warning; the call names it", async () => {
    let pipeline: StableDiffusionPipeline | undefined;
    expect(await warnings(async () => (pipeline = await load({ vae: whole.unet, unet: whole.vae })))).toEqual([
      "Expected types for vae: (AutoencoderKL,), got UNet2DConditionModel.",
      "Expected types for unet: (UNet2DConditionModel,), got AutoencoderKL.",
    ]);
    await expect(pipeline!("a cat")).rejects.toThrow(
      "the component `unet` is of class AutoencoderKL; UNet2DConditionModel is needed to draw",
    );
    const vae = new AutoencoderTiny();
    expect(await warnings(() => load({ vae }))).toEqual([
      "Expected types for vae: (AutoencoderKL,), got AutoencoderTiny.",
    ]);
  });

  test("a scheduler's class or name, assigned in its place, is shown by the call", async () => {
    const pipeline = await load({});
    const { scheduler } = pipeline;
    for (const [wrong, message] of [
      [DDIMScheduler, "is class DDIMScheduler, of which fromConfig(config) makes one; Scheduler is needed to draw"],
      ["DDIMScheduler", 'is "DDIMScheduler"; Scheduler is needed to draw'],
    ] as const) {
      pipeline.scheduler = wrong as unknown as Scheduler;
      await expect(pipeline("a cat", SMALL)).rejects.toThrow(`the component \`scheduler\` ${message}`);
    }
    pipeline.scheduler = scheduler;
  });

  test("any scheduler is taken", async () => {
    const scheduler = new FlowMatchEulerDiscreteScheduler();
    expect(await warnings(() => load({ scheduler }))).toEqual([]);
  });
});

describe("the safety checker", () => {
  const DISABLED = /^You have disabled the safety checker for StableDiffusionPipeline by passing/;

  test("null is warned of where one is required", async () => {
    const off = { safety_checker: null, requires_safety_checker: false };
    expect(await warnings(() => load({ safety_checker: null }))).toEqual([]); // the file requires none
    expect(await warnings(() => load(off, { requires_safety_checker: true }))).toEqual([]);
    const [text, ...rest] = await warnings(() => load({ safety_checker: null, requires_safety_checker: true }));
    expect(text).toMatch(DISABLED);
    expect(rest).toEqual([]);
    const file = { safety_checker: ["stable_diffusion", "StableDiffusionSafetyChecker"] };
    const [absent] = await warnings(() =>
      load({ safety_checker: null }, { ...file, requires_safety_checker: undefined }),
    );
    expect(absent).toMatch(DISABLED);
    const pipeline = await load(off, file);
    expect(pipeline.config.requires_safety_checker).toBe(false);
    expect(pipeline.components.safety_checker).toBeNull();
  });

  test("what is none is refused, and one without a feature extractor", async () => {
    await expect(load({ safety_checker: {} })).rejects.toThrow("Make sure to define a feature extractor when loading");
    await expect(load({ safety_checker: {}, feature_extractor: {} })).rejects.toThrow(
      /`safety_checker` is .*StableDiffusionSafetyChecker is needed/,
    );
    const file = {
      safety_checker: ["stable_diffusion", "StableDiffusionSafetyChecker"],
      feature_extractor: ["transformers", "CLIPImageProcessor"],
    };
    await expect(load({ safety_checker: {}, feature_extractor: null }, file)).rejects.toThrow(
      "safety_checker is of type: object, but should be StableDiffusionSafetyChecker, such as StableDiffusionSafetyChecker",
    );
    await expect(load({ safety_checker: null, feature_extractor: {} }, file)).rejects.toThrow(
      "feature_extractor is of type: object, but should be ImageProcessingMixin, such as CLIPImageProcessor",
    );
  });
});

describe("diffusers' warnings, word for word", () => {
  test("of what neither the class nor the file's own class takes", async () => {
    const seen = await warnings(() => load({ baz: "it's" }, { foo: ["a", 1], bar: true, _private: 1 }));
    expect(seen).toEqual([
      "The config attributes {'foo': ['a', 1], 'bar': True} were passed to StableDiffusionPipeline, but are not " +
        "expected and will be ignored. Please verify your model_index.json configuration file.",
      "Keyword arguments {'foo': ['a', 1], 'bar': True, 'baz': \"it's\"} are not expected by StableDiffusionPipeline " +
        "and will be ignored.",
    ]);
    const [model] = await warnings(() => load({ model: whole.scheduler }));
    expect(model).toContain("{'model': PNDMScheduler {\n");
  });

  test("of texts that are cut", async () => {
    const prompts = ["a", `${"red ".repeat(80)}it's`];
    let embeds: { positive: Tensor } | undefined;
    const seen = await warnings(async () => (embeds = await encodePrompt(whole, prompts, { guided: false })));
    embeds!.positive.dispose();
    expect(seen).toEqual([
      "The following part of your input was truncated because CLIP can only handle sequences up to 77 tokens: " +
        `['${"<|endoftext|>".repeat(7)}', "red red red red red it 's"]`,
    ]);
  });
});
