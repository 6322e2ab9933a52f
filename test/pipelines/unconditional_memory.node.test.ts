// Pipelines without a prompt by the class that model_index.json names: what they take, that they rest on the CPU, and what they save.
import { expect, test } from "vitest";
import { DiffusionPipeline, estimateMemory, Generator, Tensor, type RawImage } from "../../src/index.js";
import { peakOf, repo, withNewDevice } from "../support/estimates.js";
import { keptFiles, repositoryOf } from "../support/kept_files.js";
import { changed } from "../support/repositories.js";

const CASES: Record<string, string> = {
  ConsistencyModelPipeline: "CMStochasticIterativeScheduler",
  ScoreSdeVePipeline: "ScoreSdeVeScheduler",
  KarrasVePipeline: "KarrasVeScheduler",
  RePaintPipeline: "RePaintScheduler",
};

for (const [className, scheduler] of Object.entries(CASES))
  test(`${className} is loaded, counted, rests on the CPU, and is saved`, async () => {
    await withNewDevice(async (device) => {
      const source = await changed(repo("ddpm-cifar"), {
        "model_index.json": {
          _class_name: className,
          unet: ["diffusers", "UNet2DModel"],
          scheduler: ["diffusers", scheduler],
        },
        "scheduler_config.json": { _class_name: scheduler },
      });
      const { weights, peak } = await estimateMemory(source, { device }, { batchSize: 2, numInferenceSteps: 3 });
      const pipeline = await DiffusionPipeline.fromPretrained(source, { device });
      pipeline.setProgressBarConfig({ disable: true });
      expect([pipeline.className, pipeline.scheduler.className]).toEqual([className, scheduler]);
      expect(weights).toBe(device.memoryUse.bytes);
      const zeros = (...shape: number[]): Tensor =>
        Tensor.from(new Float32Array(shape.reduce((a, b) => a * b)), shape, { device });
      const repaints = className === "RePaintPipeline";
      const own = repaints ? { image: zeros(2, 3, 16, 16), maskImage: zeros(1, 1, 16, 16) } : { batchSize: 2 };
      const draw = async (): Promise<number[]> => {
        const generator = new Generator("cpu").manualSeed(8);
        const { images } = (await pipeline({ ...own, numInferenceSteps: 3, generator })) as { images: RawImage[] };
        return images.flatMap(({ data }) => Array.from(data));
      };
      const mostSoFar = peakOf(device);
      const drawn = await draw();
      const most = mostSoFar();
      expect(peak).toBeGreaterThanOrEqual(most);
      expect(peak).toBeLessThan(1.05 * most);
      await pipeline.enableModelCpuOffload();
      expect(await draw()).toEqual(drawn);
      const kept = keptFiles();
      await pipeline.savePretrained(kept);
      const saved = repositoryOf(kept.files);
      expect(await DiffusionPipeline.loadConfig(saved)).toEqual(JSON.parse(pipeline.toJsonString()));
      const { unet } = pipeline.components;
      const again = await DiffusionPipeline.fromPretrained(saved, { unet });
      expect([again.className, String(again.scheduler)]).toEqual([className, String(pipeline.scheduler)]);
      pipeline.dispose();
    });
  });
