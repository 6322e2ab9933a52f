import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ControlNetModel, UNet2DModel, type StableDiffusionPipeline } from "../../src/index.js";
import { loadRepo } from "../support/pipelines.js";

type Methods = Record<string, (...args: unknown[]) => unknown>;

describe("what Python's pipelines have and this version has not", () => {
  let pipeline: StableDiffusionPipeline;
  let methods: Methods;
  beforeAll(async () => {
    pipeline = await loadRepo("sd15");
    methods = pipeline as unknown as Methods;
  });
  afterAll(() => pipeline.dispose());

  for (const name of ["enableSequentialCpuOffload", "enableGroupOffload"])
    test(`${name} says by what weights move, and what else saves memory`, () => {
      expect(() => methods[name]()).toThrow(
        `StableDiffusionPipeline.${name}: not supported: weights move to the CPU by whole models, ` +
          '`await pipeline.enableModelCpuOffload()`; to need less memory load with { dtype: "float16" }, too',
      );
    });

  test("what would have to be loaded names the way round, and touches nothing", async () => {
    for (const [Class, reader] of [
      [ControlNetModel, "ControlNetModel"],
      [UNet2DModel, "StableDiffusionPipeline"],
    ] as const)
      await expect(Class.fromSingleFile("model.safetensors")).rejects.toThrow(
        `${Class.className}.fromSingleFile: not supported: of checkpoints in one file pipelines are read, UNet2DConditionModel and ` +
          `AutoencoderKL; convert them in Python (${reader}.from_single_file(file).save_pretrained(folder)) and load the folder`,
      );
  });

  test("the projections of attention are fused already, and its scores never held whole: nothing changes", () => {
    const before = String(pipeline);
    for (const owner of [pipeline, pipeline.unet, pipeline.vae]) {
      owner.fuseQkvProjections();
      owner.unfuseQkvProjections();
    }
    pipeline.enableXformersMemoryEfficientAttention();
    pipeline.disableXformersMemoryEfficientAttention();
    expect(String(pipeline)).toBe(before);
  });
});
