/** What scripts/make_unclip.py wrote, and the repositories that it was written with. */
import {
  CLIPTextModelWithProjection,
  CLIPVisionModelWithProjection,
  openRepository,
  PriorTransformer,
  UNet2DConditionModel,
  type EncodedImage,
  type Repository,
  type Tensor,
} from "../../src/index.js";
import { readJSON } from "../../src/loader/config.js";
import { fixturePath, readFixtureJSON } from "./files.js";
import { madeWeights, shapesOf } from "./made_weights.js";
import { picture } from "./pictures.js";
import { changed, writeSafetensors, type Changes } from "./repositories.js";
import { ramp } from "./sdxl_pictures.js";

export type UnCLIPKind = "variation" | "img2img" | "text";
type Config = Record<string, unknown>;

export interface UnCLIPRun {
  kind: UnCLIPKind;
  scheduler: string;
  image: string;
  options: Record<string, unknown>;
  calls?: [number, number, number[]][];
  flags?: boolean[];
  shape: number[];
  images: number[];
}

interface Goldens {
  unet: Config;
  noising: Config;
  prior: Config;
  prior_scheduler: Config;
  image_encoder: Config;
  prior_text_encoder: Config;
  normalizer: { mean: number[]; std: number[] };
  priors: { config: Config; shape: number[]; output: number[]; processed: number[] }[];
  half: UnCLIPRun[];
  runs: UnCLIPRun[];
}

export const UNCLIP = await readFixtureJSON<Goldens>("pipelines/unclip.json");
/** Of embeddings of pictures. */
export const WIDTH = UNCLIP.normalizer.mean.length;

export const IMAGES: Record<string, () => EncodedImage | null> = {
  "37x30": () => picture(37, 30),
  grey: () => {
    const { width, height, data } = picture(24, 40);
    return { width, height, data: data.filter((_, i) => i % 3 === 0) };
  },
  one: () => [picture(24, 40)],
  two: () => [picture(37, 30), picture(24, 40)],
  tensor: () => ramp(-2, 2, [1, 3, 30, 30]),
  none: () => null,
};

/** Embeddings and noise of any origin. @param scaleFactor of the pipeline's VAE */
export function givenTensors(names: readonly string[], scaleFactor = 4): Record<string, Tensor> {
  const made: Record<string, () => Tensor> = {
    latents: () => ramp(-2, 2, [1, 4, 16 / scaleFactor, 24 / scaleFactor]),
    prior_latents: () => ramp(-1, 1, [1, WIDTH]),
    image_embeds: () => ramp(-1, 1, [1, WIDTH]),
    prompt_embeds: () => ramp(-1, 1, [1, 77, 40]),
    negative_prompt_embeds: () => ramp(1, -1, [1, 77, 40]),
  };
  return Object.fromEntries(names.map((name) => [name, made[name]()]));
}

const entry = (className: string, library = "diffusers"): string[] => [library, className];
const CLASSES = {
  variation: "StableDiffusionImageVariationPipeline",
  img2img: "StableUnCLIPImg2ImgPipeline",
  text: "StableUnCLIPPipeline",
};
const floats = (values: readonly number[]): Uint8Array => new Uint8Array(Float32Array.from(values).buffer);

/** A folder of a model with made weights. */
const madeModel = (
  folder: string,
  config: Config,
  Class: new (config: Config) => Parameters<typeof shapesOf>[0],
  stem = "diffusion_pytorch_model",
): Changes => ({
  [`${folder}/config.json`]: config,
  [`${folder}/${stem}.safetensors`]: madeWeights(shapesOf(new Class(config))),
});

/** @param more other files, and entries of model_index.json */
export async function unclipRepository(
  kind: UnCLIPKind,
  { index = {}, ...more }: { index?: object; [path: string]: object | undefined } = {},
): Promise<Repository> {
  const isVariation = kind === "variation";
  const repo = isVariation ? "sd15" : "sd21";
  const base = await openRepository(fixturePath(`models/repos/${repo}`));
  const safe = await openRepository(fixturePath("models/repos/sd15-safe"));
  const parts: Record<string, [entry: string[], files: Changes]> = {
    image_encoder: [
      entry("CLIPVisionModelWithProjection", "transformers"),
      madeModel("image_encoder", UNCLIP.image_encoder, CLIPVisionModelWithProjection, "model"),
    ],
    feature_extractor: [
      entry("CLIPImageProcessor", "transformers"),
      {
        "feature_extractor/preprocessor_config.json": await readJSON(
          safe,
          "feature_extractor/preprocessor_config.json",
        ),
      },
    ],
    image_normalizer: [
      entry("StableUnCLIPImageNormalizer", "stable_diffusion"),
      {
        "image_normalizer/config.json": { embedding_dim: WIDTH },
        "image_normalizer/diffusion_pytorch_model.safetensors": writeSafetensors(
          new Map(
            Object.entries(UNCLIP.normalizer).map(([name, values]) => [
              name,
              { dtype: "F32", shape: [1, WIDTH], bytes: floats(values) },
            ]),
          ),
        ),
      },
    ],
    image_noising_scheduler: [
      entry("DDPMScheduler"),
      { "image_noising_scheduler/scheduler_config.json": UNCLIP.noising },
    ],
    prior_tokenizer: [entry("CLIPTokenizer", "transformers"), {}],
    prior_text_encoder: [
      entry("CLIPTextModelWithProjection", "transformers"),
      madeModel("prior_text_encoder", UNCLIP.prior_text_encoder, CLIPTextModelWithProjection, "model"),
    ],
    prior: [entry("PriorTransformer"), madeModel("prior", UNCLIP.prior, PriorTransformer)],
    prior_scheduler: [entry("UnCLIPScheduler"), { "prior_scheduler/scheduler_config.json": UNCLIP.prior_scheduler }],
  };
  const noise = ["image_normalizer", "image_noising_scheduler"];
  const reading = ["image_encoder", "feature_extractor"];
  const names = {
    variation: reading,
    img2img: [...reading, ...noise],
    text: ["prior_tokenizer", "prior_text_encoder", "prior", "prior_scheduler", ...noise],
  }[kind];
  const shared = {
    vae: entry("AutoencoderKL"),
    unet: entry("UNet2DConditionModel"),
    scheduler: entry(isVariation ? "PNDMScheduler" : "DDIMScheduler"),
    ...(!isVariation && {
      text_encoder: entry("CLIPTextModel", "transformers"),
      tokenizer: entry("CLIPTokenizer", "transformers"),
    }),
  };
  const files = await changed(fixturePath(`models/repos/${repo}`), {
    "model_index.json": {
      _class_name: CLASSES[kind],
      _diffusers_version: "0.42.1",
      ...shared,
      ...(isVariation && { safety_checker: [null, null], requires_safety_checker: false }),
      ...Object.fromEntries(names.map((name) => [name, parts[name][0]])),
      ...index,
    },
    ...Object.assign({}, ...names.map((name) => parts[name][1])),
    ...(!isVariation && madeModel("unet", UNCLIP.unet, UNet2DConditionModel)),
    ...more,
  });
  return {
    ...files,
    open: (path) => (/^prior_tokenizer\//.test(path) ? base : files).open(path.replace(/^prior_(?=tokenizer\/)/, "")),
  };
}
