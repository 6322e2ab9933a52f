import { describe } from "vitest";
import type { DrawingSize, PipelineOptions } from "../../src/index.js";
import { testEstimate } from "../support/estimates.js";

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
  ] as [string, PipelineOptions, DrawingSize, string?][])
    testEstimate(name, options, drawing, className);
});
