import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { expect, test } from "vitest";
import { Generator, requestDevice, StableDiffusionPipeline } from "../../src/index.js";
import { fixturePath } from "../support/files.js";
import { testDevice } from "../support/gpu.js";
import { ipAdapterRepository, readIPAdapterGoldens } from "../support/ip_adapter.js";
import { picture } from "../support/pictures.js";

const repository = ipAdapterRepository(await readIPAdapterGoldens());
const FOLDER = fixturePath("models/repos/sd15");
const ADAPTER = { subfolder: "sd15", weightName: "plus.safetensors", imageEncoderFolder: "image/encoder" };

async function draw(pipeline: StableDiffusionPipeline): Promise<number[]> {
  pipeline.setProgressBarConfig({ disable: true });
  const generator = new Generator("cpu").manualSeed(8);
  const options = { numInferenceSteps: 3, height: 32, width: 48, ipAdapterImage: picture(37, 30) };
  const { images } = await pipeline("a photo of a cat", { ...options, generator });
  return Array.from(images[0].data);
}

test("a pipeline whose device was lost has its IP-Adapter again, also where it cannot be read the first time", async () => {
  await testDevice();
  const device = await requestDevice();
  const pipeline = await StableDiffusionPipeline.fromPretrained(FOLDER, { device });
  let away = false;
  const open: typeof repository.open = (path) => {
    if (away && path.includes("plus")) throw new Error("no network");
    return repository.open(path);
  };
  await pipeline.loadIpAdapter({ ...repository, open }, ADAPTER);
  const wanted = await draw(pipeline);
  device.destroy();
  await expect(draw(pipeline)).rejects.toThrow("await pipeline.recover()");
  const fresh = await requestDevice();
  away = true;
  await expect(pipeline.recover({ device: fresh })).rejects.toThrow("no network");
  away = false;
  await pipeline.recover({ device: fresh });
  expect(await draw(pipeline)).toEqual(wanted);
  pipeline.dispose();
  await fresh.synchronize();
  fresh.trim();
  expect(fresh.memoryUse.bytes).toBeLessThan(2 ** 20); // its uniforms
  fresh.destroy();
});

test("under enableModelCpuOffload() the image encoder takes turns, too", async () => {
  const plain = await StableDiffusionPipeline.fromPretrained(FOLDER);
  await plain.loadIpAdapter(repository, ADAPTER);
  const wanted = await draw(plain);
  plain.dispose();
  const pipeline = await StableDiffusionPipeline.fromPretrained(FOLDER, { enableModelCpuOffload: true });
  await pipeline.loadIpAdapter(repository, ADAPTER);
  expect(await draw(pipeline)).toEqual(wanted);
  expect(pipeline.image_encoder!.residence.isOnCpu).toBe(true);
  pipeline.dispose();
});

test("the image encoder is looked for beside an adapter that is named by its path", async () => {
  const folder = await mkdtemp(path.join(os.tmpdir(), "webgpu-diffusers-ip-adapter-"));
  await mkdir(path.join(folder, "image_encoder"));
  for (const [from, to] of [
    ["sd15/plus.safetensors", "plus.safetensors"],
    ["image/encoder/config.json", "image_encoder/config.json"],
    ["image/encoder/model.safetensors", "image_encoder/model.safetensors"],
  ])
    await writeFile(path.join(folder, to), await (await repository.open(from))!.read());
  const pipeline = await StableDiffusionPipeline.fromPretrained(FOLDER);
  await pipeline.loadIpAdapter(path.join(folder, "plus.safetensors"), { image_encoder_folder: null } as object);
  expect(pipeline.image_encoder).toBe(null);
  await pipeline.loadIpAdapter(path.join(folder, "plus.safetensors"));
  expect(pipeline.image_encoder!.config.image_size).toBe(30);
  pipeline.dispose();
  await rm(folder, { recursive: true });
});
