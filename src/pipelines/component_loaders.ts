/** How each class that model_index.json may name is loaded. Names are looked up here and never imported. */
import { CLIPTokenizer } from "../loader/clip_tokenizer.js";
import { joinPath } from "../loader/paths.js";
import type { Repository } from "../loader/repository.js";
import { AutoencoderKL } from "../nn/autoencoder_kl.js";
import { AutoencoderTiny } from "../nn/autoencoder_tiny.js";
import { CLIPTextModel, CLIPTextModelWithProjection } from "../nn/clip_text_model.js";
import { ControlNetModel } from "../nn/controlnet.js";
import type { FromPretrainedOptions } from "../nn/pretrained.js";
import { UNet2DModel } from "../nn/unet_2d.js";
import { UNet2DConditionModel } from "../nn/unet_2d_condition.js";
import { schedulerClass, schedulerNames } from "../schedulers/index.js";

type ModelOptions = Omit<FromPretrainedOptions, "subfolder" | "config">;
export type ComponentLoader = (repository: Repository, subfolder: string, options: ModelOptions) => Promise<unknown>;

interface Loadable {
  fromPretrained(repository: Repository, options: FromPretrainedOptions): Promise<unknown>;
}
const inSubfolder =
  (Class: Loadable): ComponentLoader =>
  (repository, subfolder, options) =>
    Class.fromPretrained(repository, { ...options, subfolder });
const tokenizer: ComponentLoader = (repository, subfolder) => CLIPTokenizer.fromPretrained(repository, { subfolder });

const MODELS: ReadonlyMap<string, ComponentLoader> = new Map<string, ComponentLoader>([
  ["diffusers.UNet2DConditionModel", inSubfolder(UNet2DConditionModel)],
  [
    "diffusers.UNet2DModel",
    async (repository, subfolder, options) =>
      UNet2DModel.fromPretrained(repository, { ...options, subfolder: await folderOf(repository, subfolder) }),
  ],
  ["diffusers.AutoencoderKL", inSubfolder(AutoencoderKL)],
  ["diffusers.AutoencoderTiny", inSubfolder(AutoencoderTiny)],
  ["diffusers.ControlNetModel", inSubfolder(ControlNetModel)],
  ["transformers.CLIPTextModel", inSubfolder(CLIPTextModel)],
  ["transformers.CLIPTextModelWithProjection", inSubfolder(CLIPTextModelWithProjection)],
  ["transformers.CLIPTokenizer", tokenizer],
  ["transformers.CLIPTokenizerFast", tokenizer],
]);

/**
 * A model lies in the folder of its component or, as in google/ddpm-cifar10-32, at the root, which diffusers takes where
 * there is no such folder. Only repositories of a single model can be flat, and only pipelines without a prompt have those.
 */
async function folderOf(repository: Repository, subfolder: string): Promise<string> {
  for (const folder of [subfolder, ""]) {
    const file = await repository.open(joinPath(folder, "config.json"));
    await file?.close?.();
    if (file) return folder;
  }
  return subfolder;
}

/** Parts that a picture can be drawn without; they are left out with a warning. */
const OPTIONAL: ReadonlySet<string> = new Set([
  "stable_diffusion.StableDiffusionSafetyChecker",
  "transformers.CLIPImageProcessor",
  "transformers.CLIPFeatureExtractor",
]);

/**
 * The loader of a `[library, class]` pair; null for a part that is left out.
 * @throws TypeError naming component, library and class, and what is known
 */
export function componentLoader(component: string, library: string, className: string): ComponentLoader | null {
  const name = `${library}.${className}`;
  if (OPTIONAL.has(name)) return null;
  const model = MODELS.get(name);
  if (model) return model;
  if (library === "diffusers" && schedulerNames().includes(className)) {
    const Class = schedulerClass(className);
    return (repository, subfolder) => Class.fromPretrained(repository, { subfolder });
  }
  const known = [...MODELS.keys(), ...schedulerNames().map((scheduler) => `diffusers.${scheduler}`)];
  throw new TypeError(
    `model_index.json: ${component} is a ${name}, which this version does not have. Known: ${known.join(", ")}.`,
  );
}
