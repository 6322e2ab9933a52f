import { expect, test } from "vitest";
import { configRepository } from "../../src/loader/single_file/kinds.js";

const IN = "model.diffusion_model.input_blocks.0.0.weight";
const PROMPT = "model.diffusion_model.input_blocks.2.1.transformer_blocks.0.attn2.to_k.weight";
const XL = "conditioner.embedders.1.model.transformer.resblocks.9.mlp.c_proj.bias";

// As infer_diffusers_model_type and DIFFUSERS_DEFAULT_PIPELINE_PATHS of diffusers 0.42.1 (loaders/single_file_utils.py) have it.
for (const [channels, others, repository] of [
  [4, {}, "stable-diffusion-v1-5/stable-diffusion-v1-5"],
  [8, {}, "timbrooks/instruct-pix2pix"],
  [9, {}, "stable-diffusion-v1-5/stable-diffusion-inpainting"],
  [8, { [XL]: [1280] }, "stabilityai/stable-diffusion-xl-base-1.0"],
  [9, { [PROMPT]: [320, 1024] }, "stabilityai/stable-diffusion-2-inpainting"],
] as [number, Record<string, number[]>, string][])
  test(`a UNet of ${channels} channels, ${Object.keys(others).join() || "nothing else"}: ${repository}`, () => {
    const shapes = { [IN]: [320, channels, 3, 3], ...others };
    const entries = new Map(Object.entries(shapes).map(([key, shape]) => [key, { shape }]));
    expect(configRepository("model.safetensors", entries)).toBe(repository);
  });
