/** From a repository to the parts of FlaxStableDiffusionPipeline. */
import { shown } from "../../arguments/shown.js";
import type { WithoutNulls } from "../../arguments/spelling.js";
import { readJSON } from "../../loader/config.js";
import { ConfigError } from "../../loader/errors.js";
import { MissingFilesError } from "../../loader/missing_files.js";
import { joinPath } from "../../loader/paths.js";
import type { HubOptions, Repository } from "../../loader/repository.js";
import { CLIPTokenizer } from "../../loader/tokenizer/clip_tokenizer.js";
import { CLIPTextModel } from "../../nn/clip/clip_text_model.js";
import { StableDiffusionSafetyChecker } from "../../nn/clip/safety_checker.js";
import { FlaxUNet2DConditionModel } from "../../nn/unet/flax_unet_2d_condition.js";
import { AutoencoderKL } from "../../nn/vae/autoencoder_kl.js";
import { loadModel, type ModelClass } from "../../nn/weights/load_model.js";
import type { FromPretrainedOptions, PretrainedModel } from "../../nn/weights/pretrained.js";
import type { FlaxDiffusionScheduler } from "../../schedulers/index.js";
import { FLAX_KARRAS_SCHEDULERS, findFlaxScheduler, type FlaxDiffusionState } from "../../schedulers/index.js";
import { ensureDevice, type Device } from "../../tensor/device.js";
import { checkSafety } from "../call/safety.js";
import { CLIPImageProcessor } from "../images/clip_image_processor.js";
import { warmUp } from "../loading/first_pass.js";
import { FlaxParams } from "./flax_params.js";

/** null is as nothing, as Python's None. */
export interface FlaxPipelineOptions extends HubOptions {
  /** Instead of the repository's; its state must then be put in `params.scheduler`. */
  scheduler?: FlaxDiffusionScheduler | null;
  /** null leaves the repository's out. */
  safety_checker?: null;
  /** e.g. "bf16": reads `<name>.bf16.safetensors`; models that have none are read from the default files, with a warning. */
  variant?: string | null;
  /**
   * Of weights and activations; sums are always in float32. Default "float32". WebGPU has no bfloat16: that is kept in
   * float16, which takes as many bytes and has three more bits of precision, for numbers up to 65504.
   */
  dtype?: "float32" | "float16" | "bfloat16" | null;
  /** By default the device made first. */
  device?: Device | null;
}

export interface FlaxParts {
  tokenizer: CLIPTokenizer;
  scheduler: FlaxDiffusionScheduler;
  params: FlaxParams;
  /** Where there is a safety checker. */
  feature_extractor: CLIPImageProcessor | null;
}

const CLASSES: Readonly<Record<string, readonly string[]>> = {
  tokenizer: ["CLIPTokenizer", "CLIPTokenizerFast"],
  text_encoder: ["CLIPTextModel"],
  unet: ["UNet2DConditionModel"],
  vae: ["AutoencoderKL"],
};
/** Those that a repository may have. */
const SAFETY_CLASSES: typeof CLASSES = {
  safety_checker: ["StableDiffusionSafetyChecker"],
  feature_extractor: ["CLIPImageProcessor", "CLIPImageProcessorFast", "CLIPImageProcessorPil", "CLIPFeatureExtractor"],
};
const PIPELINES = ["StableDiffusionPipeline", "FlaxStableDiffusionPipeline"];

/**
 * @param checksSafety whether the repository's safety checker is loaded, where it has one
 * @throws Error naming file, key and fault; nothing stays allocated
 */
export async function loadFlaxParts(
  repository: Repository,
  checksSafety: boolean,
  { scheduler: given, variant, dtype = "float32", device, progressCallback, signal }: WithoutNulls<FlaxPipelineOptions>,
): Promise<FlaxParts> {
  const index = await readJSON(repository, "model_index.json");
  if (!PIPELINES.includes(index._class_name as string))
    throw new ConfigError(
      `model_index.json: _class_name is ${shown(index._class_name)}, FlaxStableDiffusionPipeline takes ${PIPELINES.join(" or ")}`,
    );
  for (const component of Object.keys(CLASSES)) checkClass(component, index[component]);
  const checks = checksSafety && Array.isArray(index.safety_checker) && index.safety_checker[0] !== null;
  if (checks) for (const component of Object.keys(SAFETY_CLASSES)) checkClass(component, index[component]);
  if (!checksSafety) checkSafety("FlaxStableDiffusionPipeline", { safety_checker: null });
  const subfolder = "feature_extractor";
  const feature_extractor = checks ? await CLIPImageProcessor.fromPretrained(repository, { subfolder }) : null;
  const [scheduler, state] = given ? [given, undefined] : await loadScheduler(repository, index.scheduler);
  const tokenizer = await CLIPTokenizer.fromPretrained(repository, { subfolder: "tokenizer" });

  const options: FromPretrainedOptions = {
    progressCallback,
    signal,
    variant,
    dtype: dtype === "bfloat16" ? "float16" : dtype,
    device: await ensureDevice(device),
  };
  const loaded: { dispose(): void }[] = [];
  const without: string[] = [];
  const load = async <M extends PretrainedModel<object>>(subfolder: string, Class: ModelClass<M>): Promise<M> => {
    const orDefault = (found: boolean): boolean => {
      if (!found) without.push(subfolder);
      return true;
    };
    try {
      const model = await loadModel(Class, repository, { ...options, subfolder }, { orDefault, onBuilt: warmUp });
      loaded.push(model);
      return model;
    } catch (error) {
      throw (error instanceof MissingFilesError && (await flaxWeights(repository, subfolder))) || error;
    }
  };
  try {
    const text_encoder = await load("text_encoder", CLIPTextModel);
    const unet = await load("unet", FlaxUNet2DConditionModel);
    const vae = await load("vae", AutoencoderKL);
    const safety_checker = checks ? await load("safety_checker", StableDiffusionSafetyChecker) : null;
    if (without.length > 0)
      console.warn(
        `${repository.name} has no variant "${variant}" of ${without.join(", ")}; the default weights are used there.`,
      );
    const params = new FlaxParams({ text_encoder, unet, vae, safety_checker }, state);
    return { tokenizer, scheduler, params, feature_extractor };
  } catch (error) {
    for (const model of loaded) model.dispose();
    throw error;
  }
}

/** The error for a folder with weights in Flax's own format. */
async function flaxWeights(repository: Repository, subfolder: string): Promise<ConfigError | null> {
  for (const stem of ["flax_model.msgpack", "diffusion_flax_model.msgpack"])
    for (const name of [stem, `${stem}.index.json`]) {
      const file = await repository.open(joinPath(subfolder, name));
      await file?.close?.();
      if (file)
        return new ConfigError(
          `${joinPath(subfolder, name)} in ${repository.name}: Flax's msgpack weights are not read, and there are no ` +
            "safetensors. Convert them in Python: StableDiffusionPipeline.from_pretrained(repo, from_flax=True)" +
            ".save_pretrained(folder), or take a revision that has safetensors.",
        );
    }
  return null;
}

/** Names of Flax classes and of torch's are those of the same files. */
const plainName = (name: string): string => name.replace(/^Flax/, "");

function checkClass(component: string, entry: unknown): void {
  const name: unknown = Array.isArray(entry) ? entry[1] : undefined;
  const wanted = { ...CLASSES, ...SAFETY_CLASSES }[component];
  if (typeof name === "string" && wanted.includes(plainName(name))) return;
  throw new ConfigError(
    `model_index.json: ${component} is ${shown(entry)}; FlaxStableDiffusionPipeline takes ${wanted.join(" or ")}`,
  );
}

async function loadScheduler(
  repository: Repository,
  entry: unknown,
): Promise<[scheduler: FlaxDiffusionScheduler, state: FlaxDiffusionState]> {
  const name: unknown = Array.isArray(entry) ? entry[1] : undefined;
  const Class = typeof name === "string" ? findFlaxScheduler(`Flax${plainName(name)}`) : undefined;
  if (!Class || !FLAX_KARRAS_SCHEDULERS.includes(Class.className))
    throw new ConfigError(
      `model_index.json: scheduler is ${shown(entry)}, which has no stateless twin; give one of ` +
        `${FLAX_KARRAS_SCHEDULERS.join(", ")} as { scheduler } (fromPretrained reads its config from the repository)`,
    );
  const [scheduler, state] = await Class.fromPretrained(repository, { subfolder: "scheduler" });
  return [scheduler as FlaxDiffusionScheduler, state as FlaxDiffusionState];
}
