import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  AutoencoderKL,
  CLIPTextModel,
  DiffusionPipeline,
  requestDevice,
  StableDiffusionSafetyChecker,
  Tensor,
  UNet2DConditionModel,
  type DDPMPipeline,
  type Device,
  type StableDiffusionPipeline,
} from "../../src/index.js";
import { warmUp } from "../../src/pipelines/loading/first_pass.js";
import { fixturePath, readFixtureJSON } from "../support/files.js";

const repo = (name: string): string => fixturePath(`models/repos/${name}`);

describe("the kernels of the first pass", () => {
  let device: Device;
  beforeAll(async () => void (device = await requestDevice()));
  afterAll(() => device.destroy());

  const zeros = (shape: number[]): Tensor =>
    Tensor.from(new Float32Array(shape.reduce((a, b) => a * b, 1)), shape, { device });

  for (const dtype of ["float32", "float16"] as const)
    test(`are compiled when a pipeline in ${dtype} is loaded, all of them`, async () => {
      const options = { device, dtype };
      const pipeline = await DiffusionPipeline.fromPretrained<StableDiffusionPipeline>(repo("sd15"), options);
      const { size } = device.queue.pipelines;
      expect(size).toBeGreaterThan(20);
      const { unet, vae, text_encoder } = pipeline;
      const inputs = [zeros([2, 4, 8, 8]), zeros([2, 77, 32]), zeros([1, 4, 8, 8])];
      const { lastHiddenState, pooledOutput, hiddenStates } = await text_encoder.forward([new Array(77).fill(0)]);
      const results = [unet.forward(inputs[0], 1, inputs[1]).sample, vae.decode(inputs[2]).sample];
      await device.synchronize();
      expect(device.queue.pipelines.size).toBe(size);
      for (const tensor of [...inputs, ...results, lastHiddenState, pooledOutput, ...hiddenStates]) tensor.dispose();
      pipeline.dispose();
    });

  test("also of a model of pictures without prompts", async () => {
    const pipeline = await DiffusionPipeline.fromPretrained<DDPMPipeline>(repo("ddpm-cifar"), { device });
    const { size } = device.queue.pipelines;
    const [height, width] = [pipeline.unet.config.sample_size].flat() as number[];
    const noise = zeros([1, 3, height, width ?? height]);
    const { sample } = pipeline.unet.forward(noise, 1);
    await device.synchronize();
    expect(device.queue.pipelines.size).toBe(size);
    for (const tensor of [noise, sample]) tensor.dispose();
    pipeline.dispose();
  });

  test("also of a UNet that takes sizes and a pooled prompt", async () => {
    warmUp(new UNet2DConditionModel(await readFixtureJSON("models/repos/sdxl/unet/config.json")), device);
    const { size } = device.queue.pipelines;
    const unet = await UNet2DConditionModel.fromPretrained(repo("sdxl"), { subfolder: "unet", device });
    const inputs = [zeros([2, 4, 8, 8]), zeros([2, 77, 56]), zeros([2, 28]), zeros([2, 6])];
    const [latents, prompt, textEmbeds, timeIds] = inputs;
    const { sample } = unet.forward(latents, 1, prompt, { addedCondKwargs: { textEmbeds, timeIds } });
    await device.synchronize();
    expect(device.queue.pipelines.size).toBe(size);
    for (const tensor of [...inputs, sample, unet]) tensor.dispose();
  });

  test("also of a safety checker", async () => {
    const config = "models/repos/sd15-safe/safety_checker/config.json";
    const before = device.queue.pipelines.size;
    warmUp(new StableDiffusionSafetyChecker(await readFixtureJSON(config)), device);
    await device.synchronize();
    expect(device.queue.pipelines.size).toBeGreaterThan(before);
    const options = { subfolder: "safety_checker", device };
    const checker = await StableDiffusionSafetyChecker.fromPretrained(repo("sd15-safe"), options);
    const pixels = zeros([1, 3, 30, 30]);
    const loaded = device.queue.pipelines.size; // one more that converts weights, perhaps
    const embeds = checker.embed(pixels);
    await device.synchronize();
    expect(device.queue.pipelines.size).toBe(loaded);
    for (const each of [pixels, embeds, checker]) each.dispose();
  });

  test("take no memory and no work", async () => {
    for (const model of [
      new UNet2DConditionModel(),
      new AutoencoderKL({ block_out_channels: [128], norm_num_groups: 32 }),
      new CLIPTextModel(),
    ]) {
      const before = device.memoryUse;
      model.placeOn(device, "float32");
      warmUp(model, device);
      expect(device.memoryUse).toEqual(before);
      expect([...model.parameters()].some(([, parameter]) => parameter.loaded)).toBe(false);
    }
    await device.synchronize();
  });

  test("a pass that fails does not disturb the load", async () => {
    const model = new UNet2DConditionModel({ sample_size: 1 << 20 }); // as large as a config may say
    model.placeOn(device, "float32");
    model.forward = () => {
      throw new Error("no");
    };
    const before = device.memoryUse;
    warmUp(model, device);
    expect(device.memoryUse).toEqual(before);
  });
});
