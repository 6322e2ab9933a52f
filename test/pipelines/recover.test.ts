import { expect, test } from "vitest";
import {
  DeviceLostError,
  DiffusionPipeline,
  Generator,
  requestDevice,
  type StableDiffusionPipeline,
  UNet2DConditionModel,
} from "../../src/index.js";
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

test("a model that was not loaded from files has none to be loaded from", async () => {
  const unet = new UNet2DConditionModel();
  await expect(unet.recover()).rejects.toThrow("UNet2DConditionModel.recover: only what fromPretrained() has loaded");
});
