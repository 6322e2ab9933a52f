/** What savePretrained() of a model writes: its config as diffusers or transformers print it, and its weights. */
import { shown } from "../../arguments/shown.js";
import { DIFFUSERS_VERSION, toJSONString } from "../../loader/config_json.js";
import { floatKeys } from "../../loader/number_types.js";
import { inFolder, saveText, type SaveTarget } from "../../loader/save_target.js";
import type { WeightStem } from "../../loader/weight_files.js";
import type { DType } from "../../tensor/dtype.js";
import type { Parameter } from "../module.js";
import type { SaveDType } from "./save_layout.js";
import { saveWeights } from "./save_weights.js";

export type { SaveDType };

/** null is as nothing, as Python's None. */
export interface SaveOptions {
  /** e.g. "fp16": writes `<name>.fp16.safetensors`. Loading it needs the same variant. */
  variant?: string | null;
  /** Bytes per file, or "10GB" (the default), "500MB", "200KB" (powers of ten). Larger models are cut into shards. */
  maxShardSize?: number | string | null;
  /** By default that of the model. */
  dtype?: SaveDType | null;
}

export const CONFIG_NAME = "config.json";

/** Names of all SaveOptions. */
export const SAVE_OPTION_NAMES: readonly (keyof SaveOptions)[] = ["variant", "maxShardSize", "dtype"];

/** What of a model is saved. */
export interface SavedModel {
  /** For messages. */
  readonly className: string;
  /** For config.json. */
  readonly fileClass: string;
  readonly config: object;
  readonly dtype: DType;
  readonly stem: WeightStem;
  /** For config.json of transformers' classes. */
  readonly modelType?: string;
  readonly parameters: ReadonlyMap<string, Parameter>;
}

/** Keys that hold floats in Python's configs of models, so that 1 prints as `1.0`. */
const FLOAT_KEYS: ReadonlySet<string> = new Set([
  "dropout",
  "norm_eps",
  "resnet_out_scale_factor",
  "scaling_factor",
  "shift_factor",
  "latents_mean",
  "latent_shift",
  "latents_std",
  "attention_dropout",
  "attention_probs_dropout_prob",
  "hidden_dropout_prob",
  "initializer_factor",
  "initializer_range",
  "layer_norm_eps",
]);

/** @throws TypeError, RangeError for wrong options, before anything is written */
export async function saveModel(
  target: SaveTarget,
  folder: string,
  model: SavedModel,
  options: SaveOptions,
): Promise<void> {
  const { className, stem, parameters } = model;
  const variant = options.variant ?? undefined;
  const maxShardSize = options.maxShardSize ?? "10GB";
  const dtype = options.dtype ?? (model.dtype as SaveDType);
  if (dtype !== "float32" && dtype !== "float16")
    throw new TypeError(`${className}.savePretrained: dtype must be "float32" or "float16", got ${shown(dtype)}`);
  for (const [key, parameter] of parameters)
    if (!parameter.loaded)
      throw new Error(`${className}.savePretrained: ${key} has no value; the model was never loaded, or disposed`);
  await saveWeights(target, folder, parameters, { stem, variant, dtype, maxShardSize });
  await saveText(target, inFolder(folder, CONFIG_NAME), configText(model, dtype));
}

/** config.json. Keys of the loaded file that no code reads here are kept, and its numbers stay ints and floats. */
export function configText({ fileClass, config, stem, modelType }: SavedModel, dtype: SaveDType): string {
  const values: Record<string, unknown> = { ...config };
  for (const key of ["_ignore_files", "_use_default_values", "_pre_quantization_dtype"]) delete values[key];
  if (stem === "model") {
    // transformers: `torch_dtype` is the older name of `dtype`
    for (const key of ["torch_dtype", "_name_or_path"]) delete values[key];
    Object.assign(values, { architectures: [fileClass], model_type: values.model_type ?? modelType, dtype });
  } else Object.assign(values, { _class_name: fileClass, _diffusers_version: DIFFUSERS_VERSION });
  return `${toJSONString(values, floatKeys(config, FLOAT_KEYS))}\n`;
}
