import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import {
  DiffusionPipeline,
  Generator,
  LatentConsistencyModelImg2ImgPipeline,
  LatentConsistencyModelPipeline,
} from "../../src/index.js";
import { testEstimate } from "../support/estimates.js";
import { lcmRepository } from "../support/lcm.js";
import { picture } from "../support/pictures.js";

async function draw(
  pipeline: LatentConsistencyModelPipeline | LatentConsistencyModelImg2ImgPipeline,
): Promise<number[]> {
  pipeline.setProgressBarConfig({ disable: true });
  const generator = new Generator("cpu").manualSeed(8);
  const { images } =
    pipeline instanceof LatentConsistencyModelPipeline
      ? await pipeline("a red circle", { height: 32, width: 48, generator })
      : await pipeline("a red circle", { image: picture(48, 32), generator });
  return Array.from(images[0].data);
}

test("saved folders, of both classes, draw the same, and so do weights that wait on the CPU", async () => {
  const folder = await mkdtemp(join(tmpdir(), "lcm-"));
  const text = await LatentConsistencyModelPipeline.fromPretrained(await lcmRepository());
  try {
    for (const pipeline of [text, LatentConsistencyModelImg2ImgPipeline.fromPipe(text)]) {
      const wanted = await draw(pipeline);
      const to = join(folder, pipeline.className);
      await pipeline.savePretrained(to);
      const options = { enableModelCpuOffload: true };
      const again = await DiffusionPipeline.fromPretrained<typeof pipeline>(to, options);
      expect(again.className).toBe(pipeline.className);
      expect(again.config.requires_safety_checker).toBe(false);
      expect(again.unet.residence.isOnCpu).toBe(true);
      expect(await draw(again)).toEqual(wanted);
      again.dispose();
    }
  } finally {
    text.dispose();
    await rm(folder, { recursive: true });
  }
});

testEstimate("lcm", { dtype: "float16" }, { height: 64, width: 48 }, "LatentConsistencyModelPipeline");
testEstimate("lcm", {}, { height: 64, width: 48, outputType: "latent" }, "LatentConsistencyModelImg2ImgPipeline");
