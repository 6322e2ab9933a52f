import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  DiffusionPipeline,
  estimateMemory,
  Generator,
  StableDiffusionAdapterPipeline,
  StableDiffusionXLAdapterPipeline,
  type AnyPipeline,
  type Tensor,
} from "../../src/index.js";
import { fixturePath } from "../support/files.js";
import { picture } from "../support/pictures.js";
import { indexHash, mostHeld } from "../support/saved_pipelines_node.js";
import { t2iAdapter } from "../support/t2i_adapter.js";

/**
 * diffusers 0.42.1: pipeline_of("Adapter", ["full"]).save_pretrained(folder), ("XLAdapter", ["xl", "xl grey"]) of
 * scripts/make_t2i_adapter.py; `grep -v _name_or_path model_index.json | sha256sum`.
 */
const INDEX = {
  one: "d7d58968b4b73dc97f153cc31ea6396d11ad1ec8cadd14f111976319a5318e1c",
  xl: "de7da2cf751d557d3a9f758bcbdab7f7b79af08bd0fd3b749703977e7cc60bf6",
};

let root = "";
beforeAll(async () => void (root = await mkdtemp(join(tmpdir(), "save-t2i-adapter-"))));
afterAll(() => rm(root, { recursive: true, force: true }));

describe("pipelines with T2I-Adapters in files", () => {
  const draw = async (pipeline: AnyPipeline): Promise<ArrayLike<number>> => {
    pipeline.setProgressBarConfig({ disable: true });
    const { images } = (await pipeline("a cat", {
      ...{ image: [picture(48, 32), picture(48, 32)], numInferenceSteps: 2, outputType: "latent" },
      generator: new Generator("cpu").manualSeed(8),
    })) as { images: Tensor };
    const numbers = await images.data();
    images.dispose();
    return numbers;
  };

  for (const [name, make, folders] of [
    [
      "one",
      async () =>
        StableDiffusionAdapterPipeline.fromPretrained(fixturePath("models/repos/sd15"), {
          adapter: await t2iAdapter("full"),
        }),
      ["adapter"],
    ],
    [
      "xl",
      async () =>
        StableDiffusionXLAdapterPipeline.fromPretrained(fixturePath("models/repos/sdxl"), {
          adapter: [await t2iAdapter("xl"), await t2iAdapter("xl grey")],
        }),
      ["adapter", "adapter_1"],
    ],
  ] as const)
    test(`${name}: files as Python's; of two the same picture, memory as estimated`, async () => {
      const folder = join(root, name);
      const pipeline = (await make()) as unknown as AnyPipeline;
      await pipeline.savePretrained(folder);
      const found = (await readdir(folder)).filter((each) => each.startsWith("adapter"));
      expect(found.sort()).toEqual(folders);
      expect(await indexHash(folder)).toBe(INDEX[name]);
      const again = (await DiffusionPipeline.fromPretrained(folder)) as unknown as AnyPipeline;
      expect(again.className).toBe(pipeline.className);
      if (name === "one") return [pipeline, again].forEach((each) => each.dispose()); // what is drawn is as with two
      const wanted = await draw(pipeline);
      pipeline.dispose();
      const [drawn, most] = await mostHeld(again.device, () => draw(again));
      expect(drawn).toEqual(wanted);
      again.dispose();
      const size = { height: 32, width: 48, numInferenceSteps: 2, outputType: "latent" } as const;
      const { weights, peak } = await estimateMemory(folder, {}, size);
      expect(peak - weights).toBeGreaterThanOrEqual(most);
      // An estimate is a bound, which is the further off the tinier a model is.
      expect(peak - weights).toBeLessThan(1.1 * most);
      const offloaded = await estimateMemory(folder, { enableModelCpuOffload: true }, size);
      expect(offloaded.peak).toBeLessThan(peak);
    });

  test("one that is missing is told with its files", async () => {
    const folder = join(root, "xl");
    await rm(join(folder, "adapter_1", "diffusion_pytorch_model.safetensors"));
    await expect(DiffusionPipeline.fromPretrained(folder)).rejects.toThrow("adapter_1/diffusion_pytorch_model");
    await rm(join(folder, "adapter"), { recursive: true });
    await expect(DiffusionPipeline.fromPretrained(folder)).rejects.toThrow("adapter/config.json");
  });
});
