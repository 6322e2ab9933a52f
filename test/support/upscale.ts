/** What scripts/make_upscale.py wrote, and the repositories that it was written with. */
import { UNet2DConditionModel, type ImageInput, type Repository, type Tensor } from "../../src/index.js";
import { fixturePath, readFixtureJSON } from "./files.js";
import { madeWeights } from "./made_weights.js";
import { picture, tensor } from "./pictures.js";
import { changed } from "./repositories.js";
import { ramp } from "./sdxl_pictures.js";

/** The upscaler by four sees pictures, that by two latents. */
export type Kind = "x4" | "x2";

export interface UpscaleRun {
  kind: Kind;
  /** A key of `unets`. */
  unet: string;
  scheduler: string;
  image: string;
  options: Record<string, unknown>;
  shape: number[];
  images: number[];
}

interface Goldens {
  unets: Record<string, Record<string, unknown>>;
  low_res_scheduler: object;
  x2_scheduler: object;
  runs: UpscaleRun[];
}

export const UPSCALE = await readFixtureJSON<Goldens>("pipelines/upscale.json");

export const IMAGES: Record<string, () => ImageInput | ImageInput[]> = {
  "12x8": () => picture(12, 8),
  "15x9": () => picture(15, 9),
  two: () => [picture(12, 8), picture(15, 9)],
  "tensor 12x8": () => tensor(12, 8, "nchw"),
  "tensor 13x10": () => tensor(13, 10, "nchw"),
  "signed tensor": () => tensor(12, 8, "nchw", 2, -1),
  array: () => tensor(12, 8, "nhwc"),
  "64x32": () => picture(64, 32),
  "71x37": () => picture(71, 37),
  "two large": () => [picture(64, 32), picture(71, 37)],
  "tensor 64x32": () => tensor(64, 32, "nchw"),
  latents: () => ramp(-2, 2, [1, 4, 4, 8]),
  "few latents": () => ramp(-2, 2, [1, 4, 4, 4]),
};

/** Embeddings and noise of any origin. */
export function givenTensors(kind: Kind): Record<string, Tensor> {
  const width = UPSCALE.unets[kind].cross_attention_dim as number;
  const promptEmbeds = ramp(-1, 1, [1, 77, width]);
  const negativePromptEmbeds = ramp(1, -1, [1, 77, width]);
  if (kind === "x4") return { promptEmbeds, negativePromptEmbeds, latents: ramp(-2, 2, [1, 4, 8, 12]) };
  return {
    ...{ promptEmbeds, negativePromptEmbeds, latents: ramp(-2, 2, [1, 4, 8, 16]) },
    pooledPromptEmbeds: ramp(-1, 1, [1, width]),
    negativePooledPromptEmbeds: ramp(1, -1, [1, width]),
  };
}

const entry = (className: string): string[] => ["diffusers", className];
const REPO = { x4: "sd21", x2: "sd15" };
const PARTS = {
  vae: entry("AutoencoderKL"),
  text_encoder: ["transformers", "CLIPTextModel"],
  tokenizer: ["transformers", "CLIPTokenizer"],
  unet: entry("UNet2DConditionModel"),
};

/** @param unet a key of `unets` @param more other entries of model_index.json */
export function upscaleRepository(kind: Kind, unet: string = kind, more: object = {}): Promise<Repository> {
  const config = UPSCALE.unets[unet];
  const shapes = [...new UNet2DConditionModel({ ...config }).parameters()].map(
    ([key, { shape }]) => [key, shape] as const,
  );
  const index =
    kind === "x4"
      ? {
          _class_name: "StableDiffusionUpscalePipeline",
          scheduler: entry("DDIMScheduler"),
          low_res_scheduler: entry("DDPMScheduler"),
        }
      : { _class_name: "StableDiffusionLatentUpscalePipeline", scheduler: entry("EulerDiscreteScheduler") };
  return changed(fixturePath(`models/repos/${REPO[kind]}`), {
    "model_index.json": { _diffusers_version: "0.42.1", ...PARTS, ...index, ...more },
    "unet/config.json": config,
    "unet/diffusion_pytorch_model.safetensors": madeWeights(new Map(shapes)),
    "low_res_scheduler/scheduler_config.json": UPSCALE.low_res_scheduler,
    ...(kind === "x2" && { "scheduler/scheduler_config.json": UPSCALE.x2_scheduler }),
  });
}
