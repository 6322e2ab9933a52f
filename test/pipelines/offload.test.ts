// Weights on the CPU while others are on the GPU: enableModelCpuOffload() and to("cpu").
import { beforeAll, describe, expect, test } from "vitest";
import {
  AutoencoderKL,
  Generator,
  StableDiffusionPipeline,
  Tensor,
  type Device,
  type StableDiffusionOptions,
} from "../../src/index.js";
import { fixturePath } from "../support/files.js";
import { checkLeaks, testDevice } from "../support/gpu.js";
import { warnings } from "../support/warnings.js";

const FOLDER = fixturePath("models/repos/sd15");
const PROMPT = "a photo of a cat";

async function load(options: object = {}): Promise<StableDiffusionPipeline> {
  const pipeline = await StableDiffusionPipeline.fromPretrained(FOLDER, options);
  pipeline.setProgressBarConfig({ disable: true });
  return pipeline;
}

async function draw(pipeline: StableDiffusionPipeline, options: StableDiffusionOptions = {}): Promise<number[]> {
  const generator = new Generator("cpu").manualSeed(8);
  const { images } = await pipeline(PROMPT, { numInferenceSteps: 2, height: 32, width: 48, generator, ...options });
  return Array.from(images[0].data);
}

/** Names of the models whose weights are on the GPU. */
const onGpu = (pipeline: StableDiffusionPipeline): string[] =>
  (["vae", "text_encoder", "unet"] as const).filter((name) => !pipeline[name].residence.isOnCpu);

/** Bytes of persistent buffers: weights, and what the device keeps. */
async function weightBytes(device: Device): Promise<number> {
  device.trim();
  await device.flush();
  return device.memoryUse.bytes;
}

describe("enableModelCpuOffload()", () => {
  checkLeaks();
  let device: Device;
  beforeAll(async () => {
    device = await testDevice();
  });

  test("has on the GPU what a part of a call needs, and draws the same", async () => {
    const empty = await weightBytes(device);
    const pipeline = await load();
    const loaded = await weightBytes(device);
    const wanted = await draw(pipeline);
    await pipeline.enableModelCpuOffload();
    expect(onGpu(pipeline)).toEqual([]);
    expect(await weightBytes(device)).toBe(empty);
    for (let i = 0; i < 2; i++) {
      const during: string[][] = [];
      const callbackOnStepEnd = (): void => void during.push(onGpu(pipeline));
      expect(await draw(pipeline, { callbackOnStepEnd })).toEqual(wanted);
      expect([...new Set(during.flat())]).toEqual(["unet"]);
      expect(await weightBytes(device)).toBe(empty);
    }
    const [embeds, negative] = await pipeline.encodePrompt(PROMPT);
    expect(onGpu(pipeline)).toEqual(["text_encoder"]);
    const given = { promptEmbeds: embeds, negativePromptEmbeds: negative, numInferenceSteps: 2, height: 32, width: 48 };
    const generator = new Generator("cpu").manualSeed(8);
    const { images: latents } = await pipeline(null, { ...given, generator, outputType: "latent" });
    const [image] = (await pipeline.decodeLatents(latents)) as { data: Uint8ClampedArray }[];
    expect(Array.from(image.data)).toEqual(wanted);
    for (const tensor of [embeds, negative, latents]) tensor?.dispose();
    expect(await weightBytes(device)).toBe(empty);

    pipeline.removeAllHooks();
    await pipeline.to("webgpu");
    expect(await weightBytes(device)).toBe(loaded);
    expect(await draw(pipeline)).toEqual(wanted);
    expect(onGpu(pipeline)).toEqual(["vae", "text_encoder", "unet"]);
    pipeline.dispose();
  });

  test("as an option of fromPretrained() never has two models on the GPU", async () => {
    const plain = await load();
    const wanted = await draw(plain);
    const largest = plain.unet.getMemoryFootprint();
    plain.dispose();
    const empty = await weightBytes(device);
    let most = 0;
    const create = device.memory.create.bind(device.memory);
    device.memory.create = (bytes, label, usage, pooled) => {
      const block = create(bytes, label, usage, pooled);
      // Of models as small as these whole groups of weights are read back at once.
      if (!pooled && label !== "readback") most = Math.max(most, device.memoryUse.bytes - device.memoryUse.pooledBytes);
      return block;
    };
    const pipeline = await load({ enableModelCpuOffload: true });
    device.memory.create = create;
    expect(await weightBytes(device)).toBe(empty);
    expect(most - empty).toBeGreaterThan(largest * 0.99);
    expect(most - empty).toBeLessThan(largest * 1.2); // staging
    expect(await draw(pipeline)).toEqual(wanted);
    expect(await weightBytes(device)).toBe(empty);
    pipeline.dispose();
    await expect(load({ enableModelCpuOffload: "yes" })).rejects.toThrow(
      "`enableModelCpuOffload` must be true or false",
    );
  });

  test("warns who moves all to the GPU", async () => {
    const pipeline = await load({ enableModelCpuOffload: true });
    expect((await warnings(() => pipeline.to("cuda"))).join()).toContain("`enableModelCpuOffload` was called");
    expect(await warnings(() => pipeline.to("cpu"))).toEqual([]);
    pipeline.dispose();
    await expect(draw(pipeline)).rejects.toThrow("was used after dispose()");
  });

  test("tells where the GPU has no room, and goes on when it has", async () => {
    const pipeline = await load({ enableModelCpuOffload: true });
    const wanted = await draw(pipeline);
    const create = device.memory.create.bind(device.memory);
    let left = 150; // in the midst of the UNet
    device.memory.create = (bytes, label, ...rest) => {
      if (label === "weight" && left-- === 0) throw new RangeError("full");
      return create(bytes, label, ...rest);
    };
    await expect(draw(pipeline)).rejects.toThrow("full");
    device.memory.create = create;
    expect(onGpu(pipeline)).toEqual([]);
    expect(await draw(pipeline)).toEqual(wanted);
    pipeline.dispose();
  });

  test("leaves alone what a call of another pipeline needs", async () => {
    const pipeline = await load();
    const wanted = await draw(pipeline);
    const other = StableDiffusionPipeline.fromPipe(pipeline);
    other.setProgressBarConfig({ disable: true });
    await other.enableModelCpuOffload();
    const third = StableDiffusionPipeline.fromPipe(other); // which does as the other does
    third.setProgressBarConfig({ disable: true });
    expect(await draw(third)).toEqual(wanted);
    expect(onGpu(third)).toEqual([]);
    // Either is at another part of its call whenever it is the other one's turn.
    const drawn = await Promise.all([draw(pipeline), draw(other, { numInferenceSteps: 3 }), draw(pipeline)]);
    expect([drawn[0], drawn[2]]).toEqual([wanted, wanted]);
    let refusal: unknown;
    const callbackOnStepEnd = async (): Promise<void> => {
      refusal = await other.to("cpu").catch((error: unknown) => error);
    };
    expect(await draw(pipeline, { callbackOnStepEnd })).toEqual(wanted);
    expect(String(refusal)).toContain("UNet2DConditionModel cannot go to the CPU while a call needs it");
    pipeline.dispose();
  });
});

describe("a model on the CPU", () => {
  checkLeaks();

  test("computes nothing, and once back the same", async () => {
    const device = await testDevice();
    const vae = await AutoencoderKL.fromPretrained(FOLDER, { subfolder: "vae", dtype: "float16" });
    const z = Tensor.from(
      new Float32Array(4 * 8 * 8).map((_, i) => Math.sin(i)),
      [1, 4, 8, 8],
      { device },
    );
    const decode = async (): Promise<number[]> => {
      const { sample } = vae.decode(z);
      const values = Array.from(await sample.data());
      sample.dispose();
      return values;
    };
    const wanted = await decode();
    expect(await vae.to("cpu")).toBe(vae);
    expect([vae.residence.isOnCpu, vae.isDisposed, vae.device]).toEqual([true, false, device]);
    expect(() => vae.decode(z)).toThrow('is on the CPU, where nothing is computed: `await model.to("webgpu")` first');
    await Promise.all([vae.to("webgpu"), vae.to(device)]);
    expect(await decode()).toEqual(wanted);
    await Promise.all([vae.to("cpu"), vae.to("cpu")]);
    const [copy] = await vae.copyTo([device]);
    expect([vae.residence.isOnCpu, copy.residence.isOnCpu]).toEqual([true, false]);
    copy.dispose();
    vae.dispose();
    expect(vae.isDisposed).toBe(true);
    expect(() => vae.decode(z)).toThrow("was used after dispose()");
    await vae.to("webgpu");
    expect(vae.isDisposed).toBe(true);
    z.dispose();
  });
});
