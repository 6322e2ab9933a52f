import { expect, test } from "vitest";
import {
  DeviceLostError,
  DiffusionPipeline,
  FlaxStableDiffusionPipeline,
  Generator,
  requestDevice,
  type StableDiffusionPipeline,
  UNet2DConditionModel,
} from "../../src/index.js";
import { openRepository, type Repository, type RepositoryFile } from "../../src/loader/repository.js";
import { fixturePath } from "../support/files.js";

const PROMPT = "a photograph of an astronaut";

test("a pipeline whose device was lost loads again, and draws the same picture", async () => {
  const device = await requestDevice();
  const repository = fixturePath("models/repos/sd15");
  const pipeline = await DiffusionPipeline.fromPretrained<StableDiffusionPipeline>(repository, { device });
  pipeline.setProgressBarConfig({ disable: true });
  const draw = async (lose?: () => void): Promise<number[]> => {
    const { images } = await pipeline(PROMPT, {
      numInferenceSteps: 3,
      generator: new Generator("cpu").manualSeed(8),
      callbackOnStepEnd: (_, step) => void (step === 1 && lose?.()),
    });
    return Array.from(images[0].data);
  };
  const wanted = await draw();
  expect(await pipeline.recover()).toBe(pipeline); // nothing is lost: nothing is loaded
  expect(pipeline.device).toBe(device);
  await expect(pipeline.recover({ device: "cuda" as never })).rejects.toThrow(
    "must be a Device from requestDevice() or",
  );

  await expect(draw(() => device.destroy())).rejects.toThrow(DeviceLostError);
  await expect(draw()).rejects.toThrow("await pipeline.recover()");
  const fresh = await requestDevice();
  const aborted = pipeline.recover({ device: fresh, signal: AbortSignal.abort(new Error("enough")) });
  await expect(aborted).rejects.toThrow("enough");
  await pipeline.recover({ device: fresh });
  expect(pipeline.device).toBe(fresh);
  expect(await draw()).toEqual(wanted);

  pipeline.dispose();
  await fresh.synchronize();
  fresh.trim();
  expect(fresh.memoryUse.bytes).toBeLessThan(2 ** 20); // its uniforms
  fresh.destroy();
});

/** A folder whose files cannot be read while `isGone()` says so of their path. */
async function vanishing(folder: string, isGone: (path: string) => boolean): Promise<Repository> {
  const repository = await openRepository(folder);
  return {
    name: folder,
    isLocal: true,
    async open(path) {
      const file = await repository.open(path);
      const read: RepositoryFile["read"] = async (...range) => {
        if (isGone(path)) throw new Error("the disk is gone");
        return (file as RepositoryFile).read(...range);
      };
      return file && { path: file.path, size: file.size, read, close: () => file.close?.() ?? Promise.resolve() };
    },
  };
}

for (const part of ["vae", "unet"])
  test(`a recovery that fails at the ${part} can be repeated`, async () => {
    const [device, fresh] = [await requestDevice(), await requestDevice()];
    let gone = false;
    const source = await vanishing(fixturePath("models/repos/sd15"), (path) => gone && path.startsWith(part));
    const pipeline = await DiffusionPipeline.fromPretrained<StableDiffusionPipeline>(source, { device });
    pipeline.setProgressBarConfig({ disable: true });
    const draw = () => pipeline(PROMPT, { numInferenceSteps: 1, height: 64, width: 64 });
    device.destroy();
    gone = true;
    await expect(pipeline.recover({ device: fresh })).rejects.toThrow("the disk is gone");
    await expect(draw()).rejects.toThrow("await pipeline.recover()");
    gone = false;
    await pipeline.recover({ device: fresh });
    expect((await draw()).images).toHaveLength(1);
    fresh.destroy();
  });

test("a recovery has nothing to do with the signal of the load", async () => {
  const [device, fresh] = [await requestDevice(), await requestDevice()];
  const load = new AbortController();
  const options = { device, signal: load.signal };
  const repository = fixturePath("models/repos/sd15");
  const unet = await UNet2DConditionModel.fromPretrained(repository, { subfolder: "unet", ...options });
  const [, params] = await FlaxStableDiffusionPipeline.fromPretrained(repository, options);
  load.abort(new Error("the load took too long"));
  const aborted = unet.recover({ device: fresh, signal: AbortSignal.abort(new Error("enough")) });
  await expect(aborted).rejects.toThrow("enough");
  await unet.recover({ device: fresh });
  expect(unet.device).toBe(fresh);
  expect(unet.isDisposed).toBe(false);
  await params.vae.recover({ device: fresh });
  expect(params.vae.device).toBe(fresh);
  device.destroy();
  fresh.destroy();
});

test("a model that was not loaded from files has none to be loaded from", async () => {
  const unet = new UNet2DConditionModel();
  await expect(unet.recover()).rejects.toThrow("UNet2DConditionModel.recover: only what fromPretrained() has loaded");
});
