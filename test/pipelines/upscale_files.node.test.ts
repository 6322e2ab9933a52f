/** Upscalers in files and in memory. */
import { createHash } from "node:crypto";
import { mkdtemp, readFile, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  DiffusionPipeline,
  Generator,
  StableDiffusionLatentUpscalePipeline,
  StableDiffusionUpscalePipeline,
  type AnyPipeline,
  type DrawingSize,
  type PipelineOptions,
  type Tensor,
} from "../../src/index.js";
import { testEstimate } from "../support/estimates.js";
import { testDevice } from "../support/gpu.js";
import { loraFile, loraRepository, type LoraGolden } from "../support/lora.js";
import { picture } from "../support/pictures.js";
import { numbers } from "../support/sdxl_pictures.js";
import { upscaleRepository, type Kind } from "../support/upscale.js";
import { warnings } from "../support/warnings.js";

/** diffusers 0.42.1: load(kind, kind) of scripts/make_upscale.py, saved; `grep -v _name_or_path model_index.json | sha256sum`. */
const INDEX = {
  x4: "3a6b22e756b3dba71ccf4b1474ef79d46b3ed71fd79ea5bd75dd5a1cfcff7d3b",
  x2: "f10916eb0cb252db2ce4be7fdc39c5c048ba7f1e38aa21642ac42c367b0394e0",
};
const CLASSES = { x4: StableDiffusionUpscalePipeline, x2: StableDiffusionLatentUpscalePipeline };
const KINDS = ["x4", "x2"] as const;

let root = "";
beforeAll(async () => void (root = await mkdtemp(join(tmpdir(), "upscale-"))));
afterAll(() => rm(root, { recursive: true, force: true }));

async function load(kind: Kind): Promise<AnyPipeline> {
  let pipeline: AnyPipeline;
  await warnings(async () => {
    pipeline = await DiffusionPipeline.fromPretrained(await upscaleRepository(kind));
  });
  return pipeline!;
}

async function draw(pipeline: AnyPipeline): Promise<Float32Array> {
  pipeline.setProgressBarConfig({ disable: true });
  const image = pipeline instanceof StableDiffusionUpscalePipeline ? picture(12, 8) : picture(64, 32);
  const generator = new Generator("cpu").manualSeed(8);
  const options = { image, numInferenceSteps: 2, generator, outputType: "np" };
  return numbers((await pipeline("a photo of a cat", options)) as { images: Tensor });
}

describe("upscalers", () => {
  for (const kind of KINDS)
    test(`${kind}: model_index.json as Python's, and what is loaded again draws the same, from the CPU's memory, too`, async () => {
      const device = await testDevice();
      const pipeline = await load(kind);
      const wanted = await draw(pipeline);
      const folder = join(root, kind);
      await pipeline.savePretrained(folder);
      pipeline.dispose();
      const lines = (await readFile(join(folder, "model_index.json"), "utf8")).split("\n");
      const text = lines.filter((line) => !line.includes("_name_or_path")).join("\n");
      expect(createHash("sha256").update(text).digest("hex")).toBe(INDEX[kind]);
      const folders = ["model_index.json", "scheduler", "text_encoder", "tokenizer", "unet", "vae"];
      expect((await readdir(folder)).sort()).toEqual(
        [...folders, ...(kind === "x4" ? ["low_res_scheduler"] : [])].sort(),
      );
      await device.flush();
      device.trim();
      await device.flush();
      const empty = device.memoryUse.bytes;
      // The scaling factor that was missing is in the files now: nothing warns.
      let again: AnyPipeline;
      const warned = await warnings(async () => {
        again = await DiffusionPipeline.fromPretrained(folder, { enableModelCpuOffload: true });
      });
      expect([warned, again!.constructor]).toEqual([[], CLASSES[kind]]);
      expect(await draw(again!)).toEqual(wanted);
      device.trim();
      await device.flush();
      expect(device.memoryUse.bytes).toBe(empty);
      again!.dispose();
    });

  for (const [kind, options, drawing] of [
    ["x4", {}, { height: 16, width: 24 }],
    [
      "x4",
      { dtype: "float16" },
      { height: 24, width: 16, numImagesPerPrompt: 2, guidanceScale: 1, outputType: "latent" },
    ],
    ["x2", {}, { height: 64, width: 64 }],
    ["x2", { enableModelCpuOffload: true }, { height: 64, width: 96, outputType: "np" }],
  ] as [Kind, PipelineOptions, DrawingSize][])
    testEstimate(kind, options, drawing, CLASSES[kind].className);

  test("LoRA weights are for the x4 upscaler, too", async () => {
    const pipeline = await load("x4");
    const before = await draw(pipeline);
    const lora: LoraGolden = {
      model: "sd15",
      endings: [".lora_A.weight", ".lora_B.weight"],
      ...{ size: 0.5, alpha: null, metadata: {} },
      layers: [["unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q", 2, [24, 24]]],
    };
    await pipeline.loadLoraWeights(loraRepository({ "pytorch_lora_weights.safetensors": loraFile(lora) }));
    expect(await draw(pipeline)).not.toEqual(before);
    await (pipeline as unknown as StableDiffusionUpscalePipeline).unloadLoraWeights();
    expect(await draw(pipeline)).toEqual(before);
    pipeline.dispose();
  });
});
