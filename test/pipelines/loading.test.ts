import { describe, expect, test } from "vitest";
import {
  AutoencoderKL,
  DDIMScheduler,
  DiffusionPipeline,
  FlaxStableDiffusionPipeline,
  PNDMScheduler,
  StableDiffusionControlNetPipeline,
  StableDiffusionInpaintPipeline,
  StableDiffusionPipeline,
} from "../../src/index.js";
import { ensureDevice } from "../../src/tensor/device.js";
import { fixturePath, readFixture, readFixtureJSON } from "../support/files.js";
import { changed, parseSafetensors, writeSafetensors, type Changes } from "../support/repositories.js";
import { warnings } from "../support/warnings.js";

const REPO = "models/repos/sd15";

describe("DiffusionPipeline.fromPretrained", () => {
  const load = async (changes: Changes = {}, options = {}): Promise<StableDiffusionPipeline> =>
    DiffusionPipeline.fromPretrained<StableDiffusionPipeline>(await changed(fixturePath(REPO), changes), options);
  const index = async (change: object): Promise<Changes> => ({
    "model_index.json": { ...(await readFixtureJSON(`${REPO}/model_index.json`)), ...change },
  });

  test("returns the class of the file, with its components", async () => {
    const pipeline = await load();
    expect(pipeline).toBeInstanceOf(StableDiffusionPipeline);
    expect(Object.keys(pipeline.components)).toEqual(StableDiffusionPipeline.componentNames);
    expect(pipeline.scheduler.className).toBe("PNDMScheduler");
    pipeline.dispose();
  });

  test("a caller's own class loads itself, whatever the file names", async () => {
    class Own extends StableDiffusionPipeline {}
    const pipeline: Own = await Own.fromPretrained(
      await changed(fixturePath(REPO), await index({ _class_name: "No" })),
    );
    expect(pipeline).toBeInstanceOf(Own);
    expect(pipeline.config._class_name).toBe("StableDiffusionPipeline");
    pipeline.dispose();
  });

  test("null is as nothing but for a component, which is left out", async () => {
    let pipeline: StableDiffusionPipeline | undefined;
    const nothing = {
      variant: null,
      useSafetensors: null,
      dtype: null,
      device: null,
      signal: null,
      progressCallback: null,
      revision: null,
      token: null,
      local_files_only: null,
      torch_dtype: null,
    };
    const ofFile = await warnings(async () => (await load()).dispose());
    const seen = await warnings(async () => (pipeline = await load({}, { ...nothing, unet: null })));
    expect(seen).toEqual(ofFile);
    expect(pipeline!.unet).toBeNull();
    expect(pipeline!.vae).toBeInstanceOf(AutoencoderKL);
    pipeline!.dispose();
  });

  test("a component that is given is used and its files are not read", async () => {
    const scheduler = await DDIMScheduler.fromPretrained(fixturePath(REPO), { subfolder: "scheduler" });
    const pipeline = await load({ "scheduler/scheduler_config.json": null }, { scheduler });
    expect(pipeline.scheduler).toBe(scheduler);
    pipeline.dispose();
  });

  test("patches the configs of 2022, with a warning, at construction only", async () => {
    const scheduler = new DDIMScheduler(); // steps_offset 0, clip_sample true
    let pipeline: StableDiffusionPipeline | undefined;
    const seen = await warnings(async () => (pipeline = await load({}, { scheduler })));
    expect(seen.join("\n")).toContain("`steps_offset` should be set to 1 instead of 0");
    expect(seen.join("\n")).toContain("has not set `clip_sample`");
    const { steps_offset, clip_sample } = pipeline!.scheduler.config;
    expect([steps_offset, clip_sample]).toEqual([1, false]);
    // diffusers' ControlNet pipelines leave them as they are.
    const other = new DDIMScheduler();
    StableDiffusionControlNetPipeline.fromPipe(pipeline!, { scheduler: other, controlnet: null });
    expect([other.config.steps_offset, other.config.clip_sample]).toEqual([0, true]);
    pipeline!.dispose();
  });

  test("for inpainting the other value is patched, as in diffusers", async () => {
    const pipeline = await load({});
    const schedulers = [new DDIMScheduler(), new PNDMScheduler()];
    const seen = await warnings(async () => {
      for (const scheduler of schedulers) StableDiffusionInpaintPipeline.fromPipe(pipeline, { scheduler });
    });
    pipeline.dispose();
    expect(seen.join("\n")).toContain("has not set `skip_prk_steps`. It should be set to True");
    expect(seen.join("\n")).not.toContain("clip_sample");
    expect(schedulers.map(({ config }) => config.steps_offset)).toEqual([1, 1]);
    expect(schedulers[0].config.clip_sample).toBe(true);
    expect(schedulers[1].config.skip_prk_steps).toBe(true);
  });

  test("dtypes by component, and under Python's names", async () => {
    const dtypes = async (options: object): Promise<string[]> => {
      const pipeline = await load({}, options);
      const { unet, vae, text_encoder } = pipeline;
      pipeline.dispose();
      return [unet.dtype, vae.dtype, text_encoder.dtype];
    };
    expect(await dtypes({})).toEqual(["float32", "float32", "float32"]);
    for (const name of ["dtype", "torchDtype", "torch_dtype"])
      expect(await dtypes({ [name]: "float16" })).toEqual(["float16", "float16", "float16"]);
    expect(await dtypes({ dtype: { unet: "float16", vae: "float32", default: "float16" } })).toEqual([
      "float16",
      "float32",
      "float16",
    ]);
    expect(await dtypes({ torch_dtype: { unet: "float16" } })).toEqual(["float16", "float32", "float32"]);
    const seen = await warnings(() => dtypes({ dtype: { transformer: "float16" } }));
    expect(seen.join()).toContain('dtype names ["transformer"], which are no models to load (vae, text_encoder, unet)');
  });

  const DTYPES: [unknown, string][] = [
    ["float64", 'dtype must be "float32" or "float16", got "float64" (WebGPU has no float64)'],
    ["bfloat16", 'got "bfloat16" (WebGPU has no bfloat16; files in it are read all the same)'],
    ["torch.bfloat16", 'got "torch.bfloat16" (WebGPU has no bfloat16'],
    ["fp16", 'dtype must be "float32" or "float16", got "fp16"'],
    [16, 'dtype must be "float32" or "float16", got 16'],
    [{ unet: "float16", vae: "float64" }, 'dtype.vae must be "float32" or "float16", got "float64"'],
    [{ default: "int8" }, 'dtype.default must be "float32" or "float16", got "int8"'],
    [{ vae: null }, "dtype.vae must be"],
  ];
  for (const [dtype, message] of DTYPES)
    test(`refuses dtype ${JSON.stringify(dtype)}`, async () => {
      const refused = load({}, { dtype });
      await expect(refused).rejects.toThrow("StableDiffusionPipeline: dtype");
      await expect(refused).rejects.toThrow(message);
    });

  test("a safety checker that the file names is looked for; null leaves it out", async () => {
    const changes = await index({ safety_checker: ["stable_diffusion", "StableDiffusionSafetyChecker"] });
    await expect(load(changes)).rejects.toThrow("safety_checker/config.json");
    expect(await warnings(async () => (await load(changes, { safety_checker: null })).dispose())).toEqual([]);
  });

  test("names unexpected options", async () => {
    const seen = await warnings(async () => (await load({}, { sheduler: 1 })).dispose());
    expect(seen).toEqual([
      "Keyword arguments {'sheduler': 1} are not expected by StableDiffusionPipeline and will be ignored.",
    ]);
  });

  const WRONG: [string, object, string][] = [
    [
      "an unknown pipeline",
      { _class_name: "FluxPipeline" },
      '_class_name is "FluxPipeline", which is not a pipeline of this version. Known: ConsistencyModelPipeline, DDIMPipeline, DDPMPipeline, KarrasVePipeline, LatentConsistencyModelImg2ImgPipeline, LatentConsistencyModelPipeline, PNDMPipeline, RePaintPipeline, ScoreSdeVePipeline, StableDiffusionAdapterPipeline, StableDiffusionControlNetImg2ImgPipeline, StableDiffusionControlNetInpaintPipeline, StableDiffusionControlNetPipeline, StableDiffusionDepth2ImgPipeline, StableDiffusionImageVariationPipeline, StableDiffusionImg2ImgPipeline, StableDiffusionInpaintPipeline, StableDiffusionInstructPix2PixPipeline, StableDiffusionLatentUpscalePipeline, StableDiffusionPipeline, StableDiffusionUpscalePipeline, StableDiffusionXLAdapterPipeline, StableDiffusionXLControlNetImg2ImgPipeline, StableDiffusionXLControlNetInpaintPipeline, StableDiffusionXLControlNetPipeline, StableDiffusionXLControlNetUnionImg2ImgPipeline, StableDiffusionXLControlNetUnionInpaintPipeline, StableDiffusionXLControlNetUnionPipeline, StableDiffusionXLImg2ImgPipeline, StableDiffusionXLInpaintPipeline, StableDiffusionXLInstructPix2PixPipeline, StableDiffusionXLPipeline, StableUnCLIPImg2ImgPipeline, StableUnCLIPPipeline',
    ],
    ["a list as class", { _class_name: ["a", "b"] }, "_class_name is"],
    ["constructor as class", { _class_name: "constructor" }, "_class_name is"],
    [
      "an unknown component",
      { unet: ["diffusers", "UNet3DConditionModel"] },
      "unet is a diffusers.UNet3DConditionModel",
    ],
    ["a foreign library", { unet: ["os", "system"] }, "unet is a os.system"],
    ["__proto__ as class", { unet: ["diffusers", "__proto__"] }, "unet is a diffusers.__proto__"],
    ["a component that is no pair", { vae: "diffusers" }, "vae must be [library, class]"],
    ["numbers", { vae: [1, 2] }, "vae must be two strings"],
    ["a missing required component", { vae: [null, null] }, "components vae are missing"],
  ];
  for (const [name, change, message] of WRONG)
    test(`refuses ${name}`, async () => {
      await expect(index(change).then((changes) => load(changes))).rejects.toThrow(message);
    });

  test("refuses what is no device", async () => {
    const refused = 'device must be a Device from requestDevice() or devices(), got "cuda"';
    await expect(load({}, { device: "cuda" })).rejects.toThrow(refused);
    const flax = FlaxStableDiffusionPipeline.fromPretrained(fixturePath(REPO), { device: "cuda" as never });
    await expect(flax).rejects.toThrow(refused);
  });

  test("refuses a signal and a callback that are none", async () => {
    const signal = new AbortController() as unknown as AbortSignal;
    await expect(load({}, { signal })).rejects.toThrow("signal must be an AbortSignal");
    const progressCallback = 5 as unknown as () => void;
    await expect(load({}, { progressCallback })).rejects.toThrow("progressCallback must be a function, got 5");
  });

  describe("an async progress callback", () => {
    const fault = new Error("mine");
    const loads = [
      (progressCallback: () => unknown) => load({}, { progressCallback }),
      (progressCallback: () => unknown) =>
        AutoencoderKL.fromPretrained(fixturePath(REPO), { subfolder: "vae", progressCallback }),
      async (progressCallback: () => unknown) =>
        (await FlaxStableDiffusionPipeline.fromPretrained(fixturePath(REPO), { progressCallback }))[1],
    ];

    test("ends the load with what it rejects with, and nothing stays", async () => {
      const device = await ensureDevice();
      const live = (): number => device.memoryUse.buffers - device.memoryUse.pooledBuffers;
      await device.settle();
      const before = live();
      for (const begin of loads) {
        await expect(begin(() => Promise.reject(fault))).rejects.toBe(fault);
        await device.settle();
        expect(live()).toBe(before);
      }
    });

    test("is not waited for; a rejection when all is done is warned of", async () => {
      for (const begin of loads) {
        const never = await begin(() => new Promise(() => undefined));
        never.dispose();
        const rejections: ((reason: unknown) => void)[] = [];
        const seen = await warnings(async () => {
          const loaded = await begin(() => new Promise((_, reject) => rejections.push(reject)));
          loaded.dispose();
          for (const reject of rejections) reject(fault);
          await Promise.resolve();
          await Promise.resolve();
        });
        expect(seen.filter((text) => text.startsWith("progressCallback"))).toEqual([
          "progressCallback rejected when all was done: Error: mine",
        ]);
      }
    });
  });

  test("a variant that some models lack is mixed with the default, with a warning; one that none has is refused", async () => {
    const weights = "vae/diffusion_pytorch_model.safetensors";
    const vae = await readFixture(`${REPO}/${weights}`);
    const changes = { "vae/diffusion_pytorch_model.fp16.safetensors": vae, [weights]: null };
    let pipeline: StableDiffusionPipeline | undefined;
    const seen = await warnings(async () => (pipeline = await load(changes, { variant: "fp16" })));
    expect(seen).toEqual([
      "A mixture of fp16 and non-fp16 filenames will be loaded: text_encoder, unet have no fp16 weights.",
    ]);
    pipeline!.dispose();
    await expect(load({}, { variant: "fp16" })).rejects.toThrow(
      'variant "fp16": none of vae, text_encoder, unet has weights of it; leave it out to load the default weights',
    );
    await expect(
      load({ ...changes, "unet/diffusion_pytorch_model.safetensors": null }, { variant: "fp16" }),
    ).rejects.toThrow("unet/diffusion_pytorch_model.fp16.safetensors: no such file");
    await expect(load({ "unet/config.json": null }, { variant: "fp16" })).rejects.toThrow(
      "unet/config.json: no such file",
    );
  });

  test("shards with the names that diffusers gave them before 0.29", async () => {
    const tensors = [...parseSafetensors(await readFixture(`${REPO}/vae/diffusion_pytorch_model.safetensors`))];
    const names = [1, 2].map((i) => `diffusion_pytorch_model-0000${i}-of-00002.fp16.safetensors`);
    const halves = [tensors.slice(0, 60), tensors.slice(60)];
    const weight_map = Object.fromEntries(halves.flatMap((half, i) => half.map(([key]) => [key, names[i]])));
    const repository = await changed(fixturePath(REPO), {
      "vae/diffusion_pytorch_model.safetensors.fp16.index.json": { weight_map },
      ...Object.fromEntries(halves.map((half, i) => [`vae/${names[i]}`, writeSafetensors(new Map(half))])),
    });
    (await AutoencoderKL.fromPretrained(repository, { subfolder: "vae", variant: "fp16" })).dispose();
  });

  test("names all files that a folder lacks", async () => {
    const { open, name } = await changed(fixturePath(REPO), {
      "unet/config.json": null,
      "vae/diffusion_pytorch_model.safetensors": null,
      "tokenizer/merges.txt": null,
    });
    await expect(DiffusionPipeline.fromPretrained({ open, name, isLocal: true })).rejects.toThrow(
      "vae/diffusion_pytorch_model.safetensors, tokenizer/merges.txt and unet/config.json: no such files in",
    );
  });

  test("names a missing model_index.json and a missing folder", async () => {
    await expect(load({ "model_index.json": null })).rejects.toThrow("model_index.json: no such file");
    await expect(load({ "unet/config.json": null })).rejects.toThrow("unet/config.json: no such file");
  });
});
