/** How each class that model_index.json may name is loaded. Names are looked up here and never imported. */
import type { WithoutNulls } from "../../arguments/spelling.js";
import { openRequired } from "../../loader/config.js";
import { requireAll } from "../../loader/missing_files.js";
import { joinPath } from "../../loader/paths.js";
import type { Repository } from "../../loader/repository.js";
import { CLIPTokenizer } from "../../loader/tokenizer/clip_tokenizer.js";
import { requireTokenizerFiles } from "../../loader/tokenizer/clip_tokenizer_files.js";
import { exists } from "../../loader/weight_files.js";
import { CLIPTextModel, CLIPTextModelWithProjection } from "../../nn/clip/clip_text_model.js";
import { CLIPVisionModelWithProjection } from "../../nn/clip/clip_vision_model.js";
import { StableDiffusionSafetyChecker } from "../../nn/clip/safety_checker.js";
import { PriorTransformer } from "../../nn/unclip/prior_transformer.js";
import { StableUnCLIPImageNormalizer } from "../../nn/unclip/image_normalizer.js";
import { ControlNetModel } from "../../nn/controlnet/controlnet.js";
import { ControlNetUnionModel } from "../../nn/controlnet/controlnet_union.js";
import { MultiControlNetModel } from "../../nn/controlnet/multi_controlnet.js";
import { MultiControlNetUnionModel } from "../../nn/controlnet/multi_controlnet_union.js";
import { DPTForDepthEstimation } from "../../nn/dpt/dpt_for_depth_estimation.js";
import { MultiAdapter } from "../../nn/t2i_adapter/multi_adapter.js";
import { T2IAdapter } from "../../nn/t2i_adapter/t2i_adapter.js";
import { UNet2DModel } from "../../nn/unet/unet_2d.js";
import { UNet2DConditionModel } from "../../nn/unet/unet_2d_condition.js";
import { AutoencoderKL } from "../../nn/vae/autoencoder_kl.js";
import { AutoencoderTiny } from "../../nn/vae/autoencoder_tiny.js";
import { loadModel, requireModelFiles, type LoadHooks, type ModelClass } from "../../nn/weights/load_model.js";
import { folderOfModel } from "../../nn/weights/model_list.js";
import { PretrainedModel, type FromPretrainedOptions } from "../../nn/weights/pretrained.js";
import { Scheduler, schedulerClass, schedulerNames } from "../../schedulers/index.js";
import { BaseImageProcessor } from "../images/base_image_processor.js";
import { CLIPImageProcessor } from "../images/clip_image_processor.js";
import { DPTImageProcessor } from "../images/dpt_image_processor.js";

export type ModelOptions = Omit<WithoutNulls<FromPretrainedOptions>, "subfolder" | "config">;

export interface ComponentLoader {
  /** What a component that is given in place of the file's has to be. */
  readonly family: Family;
  /** Models have weights, variants of them, and kernels; other components have not. */
  readonly isModel: boolean;
  load(repository: Repository, folder: string, options: ModelOptions, hooks: LoadHooks): Promise<unknown>;
  /** @throws MissingFilesError naming all files that load() would not find */
  require(repository: Repository, folder: string, options: ModelOptions, hooks: LoadHooks): Promise<unknown>;
}

/** The base classes of diffusers and transformers: a component that is given must share that of the file's. */
export interface Family {
  readonly name: string;
  has(component: unknown): boolean;
}

const modelsOf = (name: string, library: PretrainedModel<object>["library"]): Family => ({
  name,
  has: (component) => component instanceof PretrainedModel && component.library === library,
});
const FAMILIES = {
  diffusers: modelsOf("ModelMixin", "diffusers"),
  transformers: modelsOf("PreTrainedModel", "transformers"),
};
/** Of classes that diffusers has for one pipeline. */
const itself = <M extends PretrainedModel<object>>(Class: ModelClass<M>): Family => ({
  name: Class.className,
  has: (component) => component instanceof Class,
});

/** @param place the folder of the model, by default that of the component */
function model<M extends PretrainedModel<object>>(
  Class: ModelClass<M>,
  place = async (_: Repository, folder: string): Promise<string> => folder,
  family = FAMILIES[Class.weightStem === "model" ? "transformers" : "diffusers"],
): ComponentLoader {
  return {
    family,
    isModel: true,
    async load(repository, folder, options, hooks) {
      return loadModel(Class, repository, { ...options, subfolder: await place(repository, folder) }, hooks);
    },
    async require(repository, folder, { variant }, hooks) {
      const subfolder = await place(repository, folder);
      await requireModelFiles(repository, { subfolder, stem: Class.weightStem, variant }, hooks);
    },
  };
}

/** Several models of one class as one component. */
function modelList<M extends PretrainedModel<object>>(
  one: ComponentLoader,
  List: new (models: readonly M[]) => PretrainedModel<object>,
): ComponentLoader {
  return {
    ...one,
    async load(repository, folder, options, hooks) {
      const folders = await foldersOfModels(repository, folder);
      const loads = folders.map((each) => one.load(repository, each, options, hooks) as Promise<M>);
      try {
        return new List(await Promise.all(loads));
      } catch (error) {
        for (const load of await Promise.allSettled(loads)) if (load.status === "fulfilled") load.value.dispose();
        throw error;
      }
    },
    async require(repository, folder, options, hooks) {
      const folders = await foldersOfModels(repository, folder);
      await requireAll(folders.map((each) => () => one.require(repository, each, options, hooks)));
    },
  };
}

/** The first one in any case: where it is missing, its load says so. */
async function foldersOfModels(repository: Repository, folder: string): Promise<string[]> {
  const folders = [folder];
  while (await exists(repository, joinPath(folderOfModel(folder, folders.length), "config.json")))
    folders.push(folderOfModel(folder, folders.length));
  return folders;
}

const controlNet = model(ControlNetModel);
const controlNets = modelList(controlNet, MultiControlNetModel);
const controlNetUnion = model(ControlNetUnionModel);
const adapter = model(T2IAdapter);

const tokenizer: ComponentLoader = {
  family: { name: "PreTrainedTokenizer", has: (component) => component instanceof CLIPTokenizer },
  isModel: false,
  async load(repository, subfolder, _, { blank }) {
    return blank ? null : CLIPTokenizer.fromPretrained(repository, { subfolder });
  },
  require: requireTokenizerFiles,
};

const imageProcessor = (
  load: (repository: Repository, place: { subfolder: string }) => Promise<BaseImageProcessor>,
): ComponentLoader => ({
  family: { name: "ImageProcessingMixin", has: (component) => component instanceof BaseImageProcessor },
  isModel: false,
  load: (repository, subfolder) => load(repository, { subfolder }),
  require: (repository, folder) => openRequired(repository, joinPath(folder, "preprocessor_config.json")),
});
const clipProcessor = imageProcessor((...at) => CLIPImageProcessor.fromPretrained(...at));
const dptProcessor = imageProcessor((...at) => DPTImageProcessor.fromPretrained(...at));

const scheduler = (className: string): ComponentLoader => ({
  family: { name: "SchedulerMixin", has: (component) => component instanceof Scheduler },
  isModel: false,
  load: (repository, subfolder) => schedulerClass(className).fromPretrained(repository, { subfolder }),
  async require(repository, subfolder) {
    const name = "scheduler_config.json";
    if (!(await repository.open(name))) await openRequired(repository, joinPath(subfolder, name));
  },
});

const COMPONENTS: ReadonlyMap<string, ComponentLoader> = new Map<string, ComponentLoader>([
  ["diffusers.UNet2DConditionModel", model(UNet2DConditionModel)],
  ["diffusers.UNet2DModel", model(UNet2DModel, folderOf)],
  ["diffusers.AutoencoderKL", model(AutoencoderKL)],
  ["diffusers.AutoencoderTiny", model(AutoencoderTiny)],
  ["diffusers.PriorTransformer", model(PriorTransformer)],
  ["diffusers.ControlNetModel", controlNet],
  ["diffusers.MultiControlNetModel", controlNets],
  ["diffusers.ControlNetUnionModel", controlNetUnion],
  ["diffusers.MultiControlNetUnionModel", modelList(controlNetUnion, MultiControlNetUnionModel)],
  ["controlnet.MultiControlNetModel", controlNets], // as diffusers wrote it where it had the class among the pipelines
  ["diffusers.T2IAdapter", adapter],
  ["diffusers.MultiAdapter", modelList(adapter, MultiAdapter)],
  ["transformers.CLIPTextModel", model(CLIPTextModel)],
  ["transformers.CLIPTextModelWithProjection", model(CLIPTextModelWithProjection)],
  ["transformers.CLIPVisionModelWithProjection", model(CLIPVisionModelWithProjection)],
  ["transformers.CLIPTokenizer", tokenizer],
  ["transformers.CLIPTokenizerFast", tokenizer],
  [
    "stable_diffusion.StableDiffusionSafetyChecker",
    model(StableDiffusionSafetyChecker, undefined, itself(StableDiffusionSafetyChecker)),
  ],
  [
    "stable_diffusion.StableUnCLIPImageNormalizer",
    model(StableUnCLIPImageNormalizer, undefined, itself(StableUnCLIPImageNormalizer)),
  ],
  ["transformers.CLIPImageProcessor", clipProcessor],
  ["transformers.CLIPImageProcessorFast", clipProcessor],
  ["transformers.CLIPImageProcessorPil", clipProcessor], // as diffusers writes it where there is no torchvision
  ["transformers.CLIPFeatureExtractor", clipProcessor],
  ["transformers.DPTForDepthEstimation", model(DPTForDepthEstimation)],
  ["transformers.DPTImageProcessor", dptProcessor],
  ["transformers.DPTImageProcessorFast", dptProcessor],
  ["transformers.DPTImageProcessorPil", dptProcessor],
  ["transformers.DPTFeatureExtractor", dptProcessor],
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

/** The loader of a `[library, class]` pair, if there is one. */
export function findLoader(library: unknown, className: unknown): ComponentLoader | undefined {
  if (library === "diffusers" && schedulerNames().includes(className as string)) return scheduler(className as string);
  return COMPONENTS.get(`${String(library)}.${String(className)}`);
}

/**
 * The loader of a `[library, class]` pair.
 * @throws TypeError naming component, library and class, and what is known
 */
export function componentLoader(component: string, library: string, className: string): ComponentLoader {
  const loader = findLoader(library, className);
  if (loader) return loader;
  const known = [...COMPONENTS.keys(), ...schedulerNames().map((scheduler) => `diffusers.${scheduler}`)];
  throw new TypeError(
    `model_index.json: ${component} is a ${library}.${className}, which this version does not have. Known: ${known.join(", ")}.`,
  );
}
