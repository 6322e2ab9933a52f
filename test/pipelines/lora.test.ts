import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { DDIMScheduler, Generator, StableDiffusionPipeline, StableDiffusionXLPipeline } from "../../src/index.js";
import { fixturePath } from "../support/files.js";
import { testDevice } from "../support/gpu.js";
import { loraFile, loraRepository, readLoraGoldens, type LoraGolden, type LoraRun } from "../support/lora.js";
import { camelCase } from "../support/pipelines.js";

const { files, runs } = await readLoraGoldens();
const made = Object.fromEntries(Object.entries(files).map(([name, file]) => [`${name}.safetensors`, loraFile(file)]));
const repository = loraRepository(made);

/** Python's arguments as this library's: options have names. */
const argument = (value: unknown): unknown =>
  typeof value === "object" && value !== null && !Array.isArray(value)
    ? Object.fromEntries(Object.entries(value).map(([name, own]) => [camelCase(name), own]))
    : value;

const nameOf = ({ loaded, steps, options }: LoraRun): string =>
  [loaded.join(" + "), ...steps.map((step) => JSON.stringify(step)), JSON.stringify(options)].join(", ");

describe("LoRA weights, as diffusers draws with them", () => {
  const pipelines = {} as Record<LoraGolden["model"], StableDiffusionPipeline | StableDiffusionXLPipeline>;
  const CLASSES = { sd15: StableDiffusionPipeline, sdxl: StableDiffusionXLPipeline };
  const load = async (model: LoraGolden["model"]): Promise<void> => {
    const pipeline = await CLASSES[model].fromPretrained(fixturePath(`models/repos/${model}`));
    pipeline.scheduler = DDIMScheduler.fromConfig(pipeline.scheduler.config);
    pipeline.setProgressBarConfig({ disable: true });
    pipelines[model] = pipeline;
  };
  beforeAll(async () => {
    await testDevice();
    await load("sd15");
    await load("sdxl");
  });
  afterAll(() => {
    for (const each of Object.values(pipelines)) each.dispose();
  });

  for (const run of runs)
    test(nameOf(run), async () => {
      const pipeline = pipelines[files[run.loaded[0]].model];
      for (const name of run.loaded)
        await pipeline.loadLoraWeights(repository, { weightName: `${name}.safetensors`, adapterName: name });
      for (const [method, ...given] of run.steps) {
        const act = (pipeline as unknown as Record<string, (...given: unknown[]) => Promise<void>>)[camelCase(method)];
        await act.apply(pipeline, method === "set_adapters" ? given : given.map(argument));
      }
      expect(pipeline.getListAdapters()).toEqual(run.adapters);
      // Python tells those of the last model alone.
      for (const name of run.active.at(-1)!) expect(pipeline.getActiveAdapters()).toContain(name);
      const { images } = await pipeline("a photo of a cat", {
        numInferenceSteps: 3,
        height: 32,
        width: 48,
        outputType: "latent",
        generator: new Generator("cpu").manualSeed(8),
        crossAttentionKwargs: "scale" in run.options ? run.options : null,
      });
      expect(images.shape).toEqual(run.shape);
      const values = await images.data();
      images.dispose();
      const furthest = Math.max(...values.map((value, i) => Math.abs(value - run.latents[i])));
      expect(furthest).toBeLessThan(1e-3);
      // The next test begins with the weights of the files. Fused ones that were unloaded stay for good.
      await pipeline.unfuseLora();
      await pipeline.unloadLoraWeights();
      if (pipeline.numFusedLoras === 0) return;
      pipeline.dispose();
      await load(files[run.loaded[0]].model);
    });
});
