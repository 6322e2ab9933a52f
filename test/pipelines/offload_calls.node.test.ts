import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import {
  ControlNetModel,
  DDPMPipeline,
  DiffusionPipeline,
  estimateMemory,
  Generator,
  MultiControlNetModel,
  RawImage,
  requestDevice,
  StableDiffusionControlNetInpaintPipeline,
  StableDiffusionControlNetPipeline,
  StableDiffusionImg2ImgPipeline,
  StableDiffusionInpaintPipeline,
  StableDiffusionPipeline,
  StableDiffusionXLImg2ImgPipeline,
  StableDiffusionXLPipeline,
  type AnyPipeline,
} from "../../src/index.js";
import { repo, sd15Size, testEstimate, withNewDevice } from "../support/estimates.js";
import { depthRepository } from "../support/depth.js";
import { withUNet } from "../support/other_unet.js";
import { testDevice } from "../support/gpu.js";
import { loraFile, loraRepository, readLoraGoldens } from "../support/lora.js";

const image = new RawImage(
  48,
  32,
  new Uint8ClampedArray(48 * 32 * 3).map((_, i) => (i * 37) % 256),
  3,
);
const maskImage = new RawImage(48, 32, new Uint8ClampedArray(48 * 32).fill(255, 0, 700), 1);
const SIZE = { height: 32, width: 48, numInferenceSteps: 4 };

type Call = (options: object) => Promise<{ images: RawImage[] }>;

async function draw(pipeline: unknown, options: object): Promise<number[]> {
  (pipeline as AnyPipeline).setProgressBarConfig({ disable: true });
  const generator = new Generator("cpu").manualSeed(8);
  const call = pipeline as (prompt: string, options: object) => ReturnType<Call>;
  const { images } = await (pipeline instanceof DDPMPipeline
    ? (pipeline as unknown as Call)({ ...options, generator })
    : call("a red circle", { ...options, generator }));
  return Array.from(images[0].data);
}

const CASES: Record<string, [load: () => Promise<unknown>, options: object]> = {
  "from pictures": [
    async () => StableDiffusionImg2ImgPipeline.fromPipe(await StableDiffusionPipeline.fromPretrained(repo("sd15"))),
    { image, numInferenceSteps: 4 },
  ],
  "with masks": [
    async () => StableDiffusionInpaintPipeline.fromPipe(await StableDiffusionPipeline.fromPretrained(repo("sd15"))),
    { image, maskImage, ...SIZE },
  ],
  "of two ControlNets": [
    async () => {
      const net = await ControlNetModel.fromPretrained(repo("controlnet"));
      return StableDiffusionControlNetPipeline.fromPretrained(repo("sd15"), {
        controlnet: new MultiControlNetModel([net, await ControlNetModel.fromPretrained(repo("controlnet"))]),
      });
    },
    { image: [image, image], numInferenceSteps: 4 },
  ],
  "of a ControlNet, from pictures with masks": [
    async () => {
      const controlnet = await ControlNetModel.fromPretrained(repo("controlnet"));
      return StableDiffusionControlNetInpaintPipeline.fromPretrained(repo("sd15"), { controlnet });
    },
    { image, maskImage, controlImage: image, numInferenceSteps: 3 },
  ],
  "that edits pictures": [
    async () =>
      DiffusionPipeline.fromPretrained(
        await withUNet("sd15", {
          index: { _class_name: "StableDiffusionInstructPix2PixPipeline" },
          unet: { in_channels: 8 },
        }),
      ),
    { image, numInferenceSteps: 4 },
  ],
  "by the depth of pictures": [
    async () => DiffusionPipeline.fromPretrained(await depthRepository()),
    { image, numInferenceSteps: 3 },
  ],
  "of XL from pictures": [
    async () => StableDiffusionXLImg2ImgPipeline.fromPipe(await StableDiffusionXLPipeline.fromPretrained(repo("sdxl"))),
    { image, numInferenceSteps: 4 },
  ],
  "with a safety checker": [
    async () => {
      const { vae, text_encoder, tokenizer, unet, scheduler } = await StableDiffusionPipeline.fromPretrained(
        repo("sd15"),
      );
      const parts = { vae, text_encoder, tokenizer, unet, scheduler };
      return StableDiffusionPipeline.fromPretrained(repo("sd15-safe"), parts);
    },
    SIZE,
  ],
  "without a prompt": [() => DDPMPipeline.fromPretrained(repo("ddpm-cifar")), { numInferenceSteps: 3 }],
};

for (const [name, [load, options]] of Object.entries(CASES))
  test(`a call ${name} is the same under enableModelCpuOffload(), and leaves the GPU empty`, async () => {
    const device = await testDevice();
    await device.flush();
    device.trim();
    await device.flush();
    const empty = device.memoryUse.bytes;
    const pipeline = (await load()) as AnyPipeline;
    const wanted = await draw(pipeline, options);
    await pipeline.enableModelCpuOffload();
    expect(await draw(pipeline, options)).toEqual(wanted);
    device.trim();
    await device.flush();
    expect(device.memoryUse.bytes).toBe(empty);
    pipeline.dispose();
  });

test("LoRA weights come and go, and what is saved is as it was, while the weights are on the CPU", async () => {
  const { files } = await readLoraGoldens();
  const lora = loraRepository({ "pytorch_lora_weights.safetensors": loraFile(files.kohya) });
  const plain = await StableDiffusionPipeline.fromPretrained(repo("sd15"));
  const away = await StableDiffusionPipeline.fromPretrained(repo("sd15"), { enableModelCpuOffload: true });
  const folder = await mkdtemp(join(tmpdir(), "offload-"));
  try {
    for (const pipeline of [plain, away]) await pipeline.loadLoraWeights(lora);
    const models = [away.unet, away.text_encoder, away.vae];
    expect(models.map(({ residence }) => residence.isOnCpu)).toEqual([true, true, true]);
    expect(await draw(away, SIZE)).toEqual(await draw(plain, SIZE));
    for (const pipeline of [plain, away]) await pipeline.unloadLoraWeights();
    expect(await draw(away, SIZE)).toEqual(await draw(plain, SIZE));
    await away.savePretrained(folder);
    expect(models.map(({ residence }) => residence.isOnCpu)).toEqual([true, true, true]);
    const file = "unet/diffusion_pytorch_model.safetensors";
    const saved = await readFile(join(folder, file));
    await plain.savePretrained(folder);
    expect(saved.equals(await readFile(join(folder, file)))).toBe(true);
  } finally {
    await rm(folder, { recursive: true });
    for (const pipeline of [plain, away]) pipeline.dispose();
  }
});

test("a lost device is recovered from", async () => {
  const device = await requestDevice();
  const pipeline = await StableDiffusionPipeline.fromPretrained(repo("sd15"), { device, enableModelCpuOffload: true });
  const wanted = await draw(pipeline, SIZE);
  device.destroy();
  await expect(draw(pipeline, SIZE)).rejects.toThrow("await pipeline.recover()");
  const fresh = await requestDevice();
  await pipeline.recover({ device: fresh });
  expect(pipeline.unet.residence.isOnCpu).toBe(true);
  expect(await draw(pipeline, SIZE)).toEqual(wanted);
  pipeline.dispose();
  fresh.destroy();
});

testEstimate("sd15", { dtype: "float16", enableModelCpuOffload: true }, { height: 64, width: 48 });
testEstimate(
  "sd15",
  { enableModelCpuOffload: true },
  { height: 64, width: 48 },
  "StableDiffusionInstructPix2PixPipeline",
);
testEstimate("sdxl", { enableModelCpuOffload: true }, { height: 64, width: 48 }, "StableDiffusionXLInpaintPipeline");

test("of Stable Diffusion 1.5's size it saves all but the UNet's memory", async () => {
  await withNewDevice(async (device) => {
    const { weights, peak } = await estimateMemory(await sd15Size(), {
      device,
      dtype: "float16",
      enableModelCpuOffload: true,
    });
    expect(weights).toBeLessThan(1e6);
    expect(peak).toBeGreaterThan(859_520_964 * 2);
    expect(peak).toBeLessThan(859_520_964 * 2 + 400e6);
  });
});
