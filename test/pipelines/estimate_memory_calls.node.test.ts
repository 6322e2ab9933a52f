import { describe, expect, test } from "vitest";
import * as sd15 from "../../bench/sd15_configs.js";
import { estimateMemory, type DrawingSize, type PipelineOptions } from "../../src/index.js";
import { repo, testEstimate, withNewDevice } from "../support/estimates.js";
import { lcmRepository } from "../support/lcm.js";
import { changed } from "../support/repositories.js";
import { upscaleRepository } from "../support/upscale.js";

describe("estimateMemory", () => {
  for (const [name, options, drawing, className] of [
    ["sd15", {}, {}],
    ["sd15", {}, { numImagesPerPrompt: 3, outputType: "np" }],
    ["sd15", {}, { guidanceScale: 1, outputType: "latent" }],
    ["sd21", { dtype: "float16" }, { height: 32, width: 32 }],
    ["ddpm-cifar", {}, { batchSize: 2 }],
    ["sd15", {}, { height: 64, width: 48, outputType: "latent" }, "StableDiffusionImg2ImgPipeline"],
    ["sd15", { dtype: "float16" }, { height: 64, width: 48 }, "StableDiffusionInpaintPipeline"],
    ["sdxl", {}, { height: 64, width: 48, outputType: "latent" }, "StableDiffusionXLInpaintPipeline"],
    ["sd15", { dtype: "float16" }, { height: 64, width: 48 }, "StableDiffusionInstructPix2PixPipeline"],
    ["sdxl", {}, { height: 64, width: 48, outputType: "latent" }, "StableDiffusionXLInstructPix2PixPipeline"],
    ["depth", {}, { height: 64, width: 48 }, "StableDiffusionDepth2ImgPipeline"],
  ] as [string, PipelineOptions, DrawingSize, string?][])
    testEstimate(name, options, drawing, className);

  for (const [name, source] of [
    ["Stable Diffusion", repo("sd15")],
    ["XL", repo("sdxl")],
    ["a latent consistency model", lcmRepository("LatentConsistencyModelPipeline")],
    ["the latent upscaler", upscaleRepository("x2")],
  ] as const)
    test(`of ${name} without encoders of texts, which embeddings do without`, async () => {
      await withNewDevice(async (device) => {
        const all = await estimateMemory(await source, { device });
        const none = { text_encoder: null, ...(name === "XL" && { text_encoder_2: null }) };
        const { weights, peak } = await estimateMemory(await source, { device, ...none });
        expect(weights).toBeLessThan(0.95 * all.weights);
        // The call is the same but that the caller's embeddings, which it copies, are there, too.
        const [above, allAbove] = [peak - weights, all.peak - all.weights];
        expect(above).toBeGreaterThan(0.95 * allAbove);
        expect(above).toBeLessThan(1.1 * allAbove);
      });
    });
});

/** Of Stable Diffusion 1.5's. */
const SAFETY = {
  projection_dim: 768,
  vision_config_dict: {
    hidden_size: 1024,
    intermediate_size: 4096,
    num_attention_heads: 16,
    num_hidden_layers: 24,
    patch_size: 14,
  },
};

test("the safety checker of Stable Diffusion 1.5 is counted, and null leaves it out", async () => {
  await withNewDevice(async (device) => {
    const source = await changed(repo("sd15"), {
      "model_index.json": {
        ...sd15.INDEX,
        safety_checker: ["stable_diffusion", "StableDiffusionSafetyChecker"],
        feature_extractor: ["transformers", "CLIPFeatureExtractor"],
      },
      "unet/config.json": sd15.UNET,
      "vae/config.json": sd15.VAE,
      "text_encoder/config.json": sd15.TEXT,
      "safety_checker/config.json": SAFETY,
      "feature_extractor/preprocessor_config.json": { size: 224, crop_size: 224 },
    });
    const without = await estimateMemory(source, { device, dtype: "float16", safety_checker: null });
    const { weights, peak } = await estimateMemory(source, { device, dtype: "float16" });
    // 303,981,588 weights, of two bytes.
    expect((weights - without.weights) / 2).toBeGreaterThanOrEqual(303_981_588);
    expect((weights - without.weights) / 2).toBeLessThan(303_981_588 * 1.001);
    expect(peak - weights).toBeLessThan(400e6);
    // It looks when the decoder's memory is free.
    expect(peak - weights).toBe(without.peak - without.weights);
  });
});
