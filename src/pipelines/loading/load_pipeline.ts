/** From model_index.json to a pipeline: its class, its components, and what else it is made of. */
import { shown } from "../../arguments/shown.js";
import type { WithoutNulls } from "../../arguments/spelling.js";
import { readJSON } from "../../loader/config.js";
import { ConfigError } from "../../loader/errors.js";
import {
  HUB_OPTION_NAMES,
  openRepository,
  type HubOptions,
  type Repository,
  type RepositorySource,
} from "../../loader/repository.js";
import { DTYPE_OPTION_NAMES, givenDType, type DTypeOptions } from "../../nn/dtype.js";
import { PretrainedModel, type FromPretrainedOptions } from "../../nn/weights/pretrained.js";
import { ensureDevice } from "../../tensor/device.js";
import type { DiffusionPipeline } from "../diffusion_pipeline.js";
import { componentLoader, type ComponentLoader } from "./component_loaders.js";
import { checkFamilies, sortOptions, warnOfClasses, type ComponentClass } from "./given_components.js";
import { loadComponents, type LoadComponentsOptions, type PipelineDType } from "./load_components.js";

/** What `fromPretrained` takes besides components. null is as nothing, as Python's None; a component that is null is left out. */
export interface PipelineOptions
  extends
    DTypeOptions<PipelineDType>,
    Pick<FromPretrainedOptions, "variant" | "useSafetensors" | "device" | keyof HubOptions> {
  /** Loads one model after the other, each to the CPU's memory in the end, see enableModelCpuOffload() of pipelines. Default false. */
  enableModelCpuOffload?: boolean | null;
}

export type Components = Record<string, unknown>;

/** A pipeline class: its components in the order of its constructor, and how it is made of them. */
export interface PipelineClass {
  /** `components`: what each class says. */
  new (components: never): DiffusionPipeline;
  readonly className: string;
  readonly componentNames: readonly string[];
  readonly optionalNames: readonly string[];
  readonly componentClasses: Readonly<Record<string, ComponentClass>>;
  readonly initArguments: Components;
  /**
   * The dtypes of the models that are loaded, where one must be another than was asked for.
   * @param models their names
   */
  modelDTypes?(
    repository: Repository,
    dtype: PipelineDType | undefined,
    models: readonly string[],
  ): Promise<PipelineDType | undefined>;
}

const registry = new Map<string, PipelineClass>();

/** Makes a class known to model_index.json by its name; index.ts does so for all of them. */
export function registerPipeline(pipeline: PipelineClass): void {
  registry.set(pipeline.className, pipeline);
}

/** Names of all PipelineOptions. */
export const PIPELINE_OPTION_NAMES: readonly string[] = [
  "variant",
  "useSafetensors",
  "device",
  "enableModelCpuOffload",
  ...DTYPE_OPTION_NAMES,
  ...HUB_OPTION_NAMES,
];

interface LoadPipelineOptions extends Pick<LoadComponentsOptions, "controller" | "blank"> {
  /**
   * The class to make.
   * @param named the `_class_name` of model_index.json
   */
  classOf: (named: unknown) => PipelineClass;
}

/**
 * Loads a pipeline in the layout of diffusers.
 * @param options in their own spelling
 * @throws Error naming file, key and fault; nothing stays allocated
 */
export async function loadPipeline(
  source: RepositorySource,
  options: WithoutNulls<PipelineOptions> & Components,
  { classOf, controller, blank }: LoadPipelineOptions,
): Promise<DiffusionPipeline> {
  const repository = await openRepository(source, { ...options, signal: controller.signal });
  const index = await readJSON(repository, "model_index.json");
  const Class = classOf(index._class_name);
  const fileClass = Class.className === index._class_name ? Class : registry.get(index._class_name as string);
  const extra = Object.fromEntries(Object.entries(options).filter(([name]) => !PIPELINE_OPTION_NAMES.includes(name)));
  const { given, initArguments } = sortOptions(Class, extra, index, fileClass);
  checkFamilies(Class.className, given, index);

  // Every class is looked up before anything is loaded.
  const loaders = Class.componentNames.flatMap((name) => {
    const loader = name in given ? null : plan(name, index[name]);
    return loader ? [[name, loader] as const] : [];
  });
  expectAll(Class, [...Object.keys(given), ...loaders.map(([name]) => name)]);
  const device = await ensureDevice(options.device);
  const { variant, useSafetensors, progressCallback, enableModelCpuOffload: offload = false } = options;
  if (typeof offload !== "boolean")
    throw new TypeError(`\`enableModelCpuOffload\` must be true or false, got ${shown(offload)}`);
  const dtype = givenDType(options);
  const models = loaders.filter(([, { isModel }]) => isModel).map(([name]) => name);
  const loaded = await loadComponents(Class.className, repository, loaders, {
    variant,
    useSafetensors,
    progressCallback,
    device,
    controller,
    blank,
    offload,
    dtype: Class.modelDTypes ? await Class.modelDTypes(repository, dtype, models) : dtype,
  });
  try {
    controller.signal.throwIfAborted();
    const parts = { ...given, ...loaded };
    warnOfClasses(Class.componentClasses, parts);
    const pipeline = new Class({ ...initArguments, ...parts } as never);
    pipeline.remember({ ...initArguments, _name_or_path: typeof source === "string" ? source : repository.name });
    if (offload) await pipeline.enableModelCpuOffload();
    return pipeline;
  } catch (error) {
    for (const component of Object.values(loaded)) if (component instanceof PretrainedModel) component.dispose();
    throw error;
  }
}

/** @throws TypeError naming components that are neither in the file nor given, before those that are get downloaded */
function expectAll({ className, componentNames, optionalNames }: PipelineClass, present: readonly string[]): void {
  const missing = componentNames.filter((name) => !optionalNames.includes(name) && !present.includes(name));
  if (missing.length > 0)
    throw new TypeError(
      `${className}: components ${missing.join(", ")} are missing: model_index.json has none; give them, ` +
        `fromPretrained(source, { ${missing.join(", ")} })`,
    );
}

/** The class of that name. @throws ConfigError naming those that there are */
export function registeredPipeline(name: unknown): PipelineClass {
  const Class = typeof name === "string" ? registry.get(name) : undefined;
  if (Class) return Class;
  throw new ConfigError(
    `model_index.json: _class_name is ${shown(name)}, which is not a pipeline of this version. Known: ${[...registry.keys()].sort().join(", ")}.`,
  );
}

/** The loader of one entry of model_index.json, `[library, class]`; null where there is nothing to load. */
function plan(component: string, entry: unknown): ComponentLoader | null {
  if (entry === undefined) return null;
  if (!Array.isArray(entry) || entry.length !== 2)
    throw new ConfigError(`model_index.json: ${component} must be [library, class], got ${shown(entry)}`);
  const [library, className] = entry as unknown[];
  if (library === null && className === null) return null;
  if (typeof library !== "string" || typeof className !== "string" || library.length + className.length > 200)
    throw new ConfigError(
      `model_index.json: ${component} must be two strings (names of a library and a class) or two nulls, got ${shown(entry)}`,
    );
  return componentLoader(component, library, className);
}
