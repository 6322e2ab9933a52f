/** Pipelines of pictures' embeddings in files and in memory. */
import { createHash } from "node:crypto";
import { mkdtemp, readFile, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  DiffusionPipeline,
  Generator,
  StableDiffusionImageVariationPipeline,
  StableUnCLIPImg2ImgPipeline,
  StableUnCLIPPipeline,
  type AnyPipeline,
  type DrawingSize,
  type PipelineOptions,
  type Tensor,
} from "../../src/index.js";
import { testEstimate } from "../support/estimates.js";
import { testDevice } from "../support/gpu.js";
import { picture } from "../support/pictures.js";
import { numbers } from "../support/sdxl_pictures.js";
import { unclipRepository, type UnCLIPKind } from "../support/unclip.js";
import { warnings } from "../support/warnings.js";

/**
 * diffusers 0.42.1: load(kind) of scripts/make_unclip.py, saved; `grep -v _name_or_path model_index.json | sha256sum`, where
 * CLIPImageProcessorPil is, as ours is not, a class of its own.
 */
const INDEX = {
  img2img: "3271d630e814bb90f87ecd3a2b4d1b6225d827cf15438edef42b5a7638611102",
  text: "73b0d691908ab6424a626f9849fcd4f549ac16a7b1997601c982fe86a7e8af68",
};
const CLASSES = {
  variation: StableDiffusionImageVariationPipeline,
  img2img: StableUnCLIPImg2ImgPipeline,
  text: StableUnCLIPPipeline,
};

let root = "";
beforeAll(async () => void (root = await mkdtemp(join(tmpdir(), "unclip-"))));
afterAll(() => rm(root, { recursive: true, force: true }));

async function draw(kind: "img2img" | "text", pipeline: AnyPipeline): Promise<Float32Array> {
  pipeline.setProgressBarConfig({ disable: true });
  const generator = new Generator("cpu").manualSeed(8);
  const options = { height: 16, width: 24, numInferenceSteps: 1, generator, outputType: "latent" };
  const prompt = "a photo of a cat";
  if (kind === "text")
    return numbers((await pipeline(prompt, { ...options, priorNumInferenceSteps: 2 })) as { images: Tensor });
  return numbers((await pipeline(picture(37, 30), { ...options, prompt })) as { images: Tensor });
}

describe("pipelines of pictures' embeddings", () => {
  for (const kind of ["img2img", "text"] as const)
    test(`${kind}: model_index.json as Python's, and what is loaded again draws the same, from the CPU's memory, too`, async () => {
      const device = await testDevice();
      const pipeline = await DiffusionPipeline.fromPretrained(await unclipRepository(kind));
      const wanted = await draw(kind, pipeline);
      const folder = join(root, kind);
      await pipeline.savePretrained(folder);
      pipeline.dispose();
      const lines = (await readFile(join(folder, "model_index.json"), "utf8")).split("\n");
      const text = lines.filter((line) => !line.includes("_name_or_path")).join("\n");
      const asThere = text.replace('"CLIPImageProcessor"', '"CLIPImageProcessorPil"');
      expect(createHash("sha256").update(asThere).digest("hex")).toBe(INDEX[kind]);
      const { componentNames } = CLASSES[kind];
      expect((await readdir(folder)).sort()).toEqual([...componentNames, "model_index.json"].sort());
      await device.flush();
      device.trim();
      await device.flush();
      const empty = device.memoryUse.bytes;
      let again: AnyPipeline;
      const warned = await warnings(async () => {
        again = await DiffusionPipeline.fromPretrained(folder, { enableModelCpuOffload: true });
      });
      expect([warned, again!.constructor]).toEqual([[], CLASSES[kind]]);
      expect(await draw(kind, again!)).toEqual(wanted);
      device.trim();
      await device.flush();
      expect(device.memoryUse.bytes).toBe(empty);
      again!.dispose();
    });

  for (const [kind, options, drawing] of [
    ["variation", {}, { height: 32, width: 48, outputType: "latent" }],
    ["text", { enableModelCpuOffload: true }, { height: 32, width: 48, outputType: "latent" }],
  ] as [UnCLIPKind, PipelineOptions, DrawingSize][])
    testEstimate(kind, options, drawing, CLASSES[kind].className);
});
