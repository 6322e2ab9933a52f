import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { DDPMPipeline } from "../../src/index.js";
import {
  DiffusionPipeline,
  EulerDiscreteScheduler,
  FlaxStableDiffusionPipeline,
  FlaxUNet2DConditionModel,
  StableDiffusionPipeline,
} from "../../src/index.js";
import { fixturePath } from "../support/files.js";
import { FLAX_REPO } from "../support/flax.js";
import { inspected } from "../support/inspected.js";
import { loadRepo } from "../support/pipelines.js";

const SD15 = fixturePath("models/repos/sd15");

/** repr() of diffusers 0.42.1 for such entries: json.dumps with sorted keys. */
const printed = (className: string, entries: object): string => {
  const all = { ...entries, _class_name: className, _diffusers_version: "0.42.1" };
  const sorted = Object.entries(all).sort(([a], [b]) => (a < b ? -1 : 1));
  return `${className} ${JSON.stringify(Object.fromEntries(sorted), null, 2)}\n`;
};

test("loadConfig reads model_index.json, of any pipeline, and refuses a folder without one", async () => {
  const config = await DiffusionPipeline.loadConfig(SD15);
  expect([config._class_name, config.scheduler]).toEqual(["StableDiffusionPipeline", ["diffusers", "PNDMScheduler"]]);
  const cifar = await StableDiffusionPipeline.loadConfig(fixturePath("models/repos/ddpm-cifar"));
  expect(cifar._class_name).toBe("DDPMPipeline");
  await expect(DiffusionPipeline.loadConfig(`${SD15}/unet`)).rejects.toThrow("DiffusionPipeline.loadConfig: ");
});

describe("a pipeline's config", () => {
  let pipeline: StableDiffusionPipeline;
  beforeAll(async () => void (pipeline = await loadRepo("sd15")));
  afterAll(() => pipeline.dispose());

  const entries = (scheduler: string): object => ({
    vae: ["diffusers", "AutoencoderKL"],
    text_encoder: ["transformers", "CLIPTextModel"],
    tokenizer: ["transformers", "CLIPTokenizer"],
    unet: ["diffusers", "UNet2DConditionModel"],
    scheduler: ["diffusers", scheduler],
    safety_checker: [null, null],
    feature_extractor: [null, null],
    image_encoder: [null, null],
    requires_safety_checker: false,
    _name_or_path: SD15,
  });

  test("names the components as they are, and is printed as Python prints it", () => {
    const { scheduler } = pipeline;
    expect(pipeline.config).toEqual({
      ...entries("PNDMScheduler"),
      _class_name: "StableDiffusionPipeline",
      _diffusers_version: "0.42.1",
    });
    expect(String(pipeline)).toBe(printed("StableDiffusionPipeline", entries("PNDMScheduler")));
    pipeline.scheduler = EulerDiscreteScheduler.fromConfig(scheduler.config);
    expect(pipeline.config.scheduler).toEqual(["diffusers", "EulerDiscreteScheduler"]);
    expect(inspected(pipeline)).toBe(printed("StableDiffusionPipeline", entries("EulerDiscreteScheduler")));
    expect(inspected(pipeline)).toBe(`StableDiffusionPipeline ${pipeline.toJsonString()}`);
    expect(pipeline.nameOrPath).toBe(pipeline.config._name_or_path);
    pipeline.scheduler = scheduler;
  });

  test("is frozen", () => {
    const config = pipeline.config as { scheduler: string[] };
    expect(() => (config.scheduler = ["diffusers", "x"])).toThrow(TypeError);
    expect(() => (config.scheduler[1] = "x")).toThrow(TypeError);
  });

  test("of a pipeline without a prompt", async () => {
    const source = fixturePath("models/repos/ddpm-cifar");
    const ddpm = await DiffusionPipeline.fromPretrained<DDPMPipeline>(source);
    const own = {
      _name_or_path: source,
      scheduler: ["diffusers", "DDPMScheduler"],
      unet: ["diffusers", "UNet2DModel"],
    };
    expect(String(ddpm)).toBe(printed("DDPMPipeline", own));
    ddpm.dispose();
  });

  test("of a Flax pipeline", async () => {
    const [flax, params] = await FlaxStableDiffusionPipeline.fromPretrained(FLAX_REPO, { variant: "bf16" });
    expect(flax.config.scheduler).toEqual(["diffusers", "FlaxPNDMScheduler"]);
    const text = printed("FlaxStableDiffusionPipeline", {
      scheduler: ["diffusers", "FlaxPNDMScheduler"],
      tokenizer: ["transformers", "CLIPTokenizer"],
      unet: ["diffusers", "FlaxUNet2DConditionModel"],
      vae: ["diffusers", "FlaxAutoencoderKL"],
      text_encoder: ["transformers", "FlaxCLIPTextModel"],
      safety_checker: [null, null],
      feature_extractor: [null, null],
    });
    expect([String(flax), inspected(flax)]).toEqual([text, text]);
    // Its UNet is another class than torch's, with the same files.
    expect(String(params.unet)).toMatch(/^FlaxUNet2DConditionModel \{\n {2}"_class_name": "UNet2DConditionModel",\n/);
    const torch = StableDiffusionPipeline.fromPipe(pipeline, { unet: params.unet });
    expect(torch.config.unet).toEqual(["diffusers", "UNet2DConditionModel"]);
    const [copy] = await params.unet.copyTo([params.device]);
    expect(copy).toBeInstanceOf(FlaxUNet2DConditionModel);
    copy.dispose();
    await expect(params.unet.to("tpu")).rejects.toThrow("to: FlaxUNet2DConditionModel belongs to its WebGPU device");
    params.dispose();
  });

  test("models are printed with their configs", () => {
    const { unet, text_encoder: text } = pipeline;
    expect(String(unet)).toMatch(/^UNet2DConditionModel \{\n {2}"_class_name": "UNet2DConditionModel",\n/);
    expect(String(unet)).toContain('\n  "cross_attention_dim": 32,\n');
    expect(String(text)).toMatch(/^CLIPTextModel \{\n {2}"architectures": \[\n {4}"CLIPTextModel"\n/);
    expect(inspected(unet)).toBe(String(unet));
    expect(`UNet2DConditionModel ${unet.eval().toJsonString()}`).toBe(String(unet));
  });
});
