// A pipeline whose weights are freed says so, before a call and in the middle of one.
import { describe, expect, test } from "vitest";
import { DDPMPipeline, StableDiffusionPipeline } from "../../src/index.js";
import { fixturePath } from "../support/files.js";
import { checkLeaks } from "../support/gpu.js";
import { loadRepo } from "../support/pipelines.js";

describe("a pipeline after dispose()", () => {
  checkLeaks();

  test("refuses calls", async () => {
    const pipeline = await loadRepo("sd15");
    const shared = StableDiffusionPipeline.fromPipe(pipeline);
    pipeline.dispose();
    const message = "StableDiffusionPipeline: the component `vae` was used after dispose()";
    for (const each of [pipeline, shared]) {
      await expect(each("a")).rejects.toThrow(message);
      await expect(each.encodePrompt("a")).rejects.toThrow("was used after dispose()");
    }
  });

  test("of which one model is freed refuses them, too", async () => {
    const pipeline = await loadRepo("sd15");
    pipeline.unet.dispose();
    await expect(pipeline("a")).rejects.toThrow("the component `unet` was used after dispose()");
    pipeline.dispose();
  });

  test("ends the call that runs, and frees what it held", async () => {
    const pipeline = await loadRepo("sd15");
    let steps = 0;
    const dispose = (): void => {
      if (++steps === 2) pipeline.dispose();
    };
    const call = pipeline("a", { numInferenceSteps: 4, height: 16, width: 16, callbackOnStepEnd: dispose });
    await expect(call).rejects.toThrow("was used after dispose()");
    expect(steps).toBe(2);
  });

  test("without a prompt refuses calls", async () => {
    const pipeline = await DDPMPipeline.fromPretrained(fixturePath("models/repos/ddpm-cifar"));
    pipeline.dispose();
    await expect(pipeline({ numInferenceSteps: 2 })).rejects.toThrow(
      "DDPMPipeline: the component `unet` was used after dispose()",
    );
  });
});
