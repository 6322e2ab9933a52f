/** Pipelines: components named by model_index.json, loaded together and called like functions. */
import { Callable } from "../loader/callable.js";
import { readJSON } from "../loader/config.js";
import { ConfigError } from "../loader/errors.js";
import {
  HUB_OPTION_NAMES,
  hubOptions,
  openRepository,
  type HubOptions,
  type RepositorySource,
} from "../loader/repository.js";
import { saveInto, type SaveTarget } from "../loader/save_target.js";
import { givenDType, type DTypeOptions } from "../nn/dtype.js";
import { PretrainedModel, type FromPretrainedOptions } from "../nn/pretrained.js";
import type { SaveOptions } from "../nn/save_model.js";
import { ensureDevice, type Device } from "../tensor/device.js";
import { componentLoader } from "./component_loaders.js";
import { checkFamilies, sortOptions, warnOfClasses, type ComponentClass } from "./given_components.js";
import { inTurn } from "./in_turn.js";
import { loadComponents, type PipelineDType } from "./load_components.js";
import type { ProgressBarConfig } from "./progress_bar.js";
import { componentEntry, configText, pipelineConfig, type PipelineConfig } from "./pipeline_config.js";
import { savePipeline } from "./save_pipeline.js";

/** What `fromPretrained` takes besides components. */
export interface PipelineOptions
  extends
    DTypeOptions<PipelineDType>,
    Pick<FromPretrainedOptions, "variant" | "useSafetensors" | "device" | keyof HubOptions> {}

export type Components = Record<string, unknown>;

/** A pipeline class: its components in the order of its constructor, and how it is made of them. */
export interface PipelineClass<P extends DiffusionPipeline = DiffusionPipeline> {
  new (components: Components): P;
  readonly className: string;
  readonly componentNames: readonly string[];
  readonly optionalNames: readonly string[];
  readonly componentClasses: Readonly<Record<string, ComponentClass>>;
  readonly initArguments: Components;
}

const registry = new Map<string, PipelineClass>();

/** Makes a class known to model_index.json by its name. */
export function registerPipeline(pipeline: PipelineClass): void {
  registry.set(pipeline.className, pipeline);
}

const OPTION_NAMES = new Set([
  ...["dtype", "torchDtype", "torch_dtype", "variant", "useSafetensors", "device"],
  ...HUB_OPTION_NAMES,
]);

export abstract class DiffusionPipeline extends Callable {
  static readonly className: string = "DiffusionPipeline";
  static readonly componentNames: readonly string[] = [];
  /** Those of componentNames that model_index.json may leave out. */
  static readonly optionalNames: readonly string[] = [];
  /** The models that the class is written for; others are taken with a warning. */
  static readonly componentClasses: Readonly<Record<string, ComponentClass>> = {};
  /** Arguments of Python's constructor that are no components, with their defaults: model_index.json holds them too. */
  static readonly initArguments: Components = {};
  /** Set to true during a call to skip the remaining steps; the picture is still decoded. */
  interrupt = false;
  protected progressBarConfig: ProgressBarConfig = {};
  /** Entries of model_index.json that are no components. */
  #entries: Components = {};

  /**
   * Loads a pipeline in the layout of diffusers: model_index.json names the class of each component and its folder.
   * Called on DiffusionPipeline, the class in the file is used. Components given in the options are used as they are and
   * their files are not read; null leaves one out.
   *
   * @param source a local folder (Node), an id on the hub ("owner/name"), a base URL, or EMBEDDED_MODEL
   * @throws Error naming file, key and fault; nothing stays allocated
   * @example
   * const pipeline = await DiffusionPipeline.fromPretrained(folder, { dtype: "float16" });
   * const { images } = await pipeline("a red circle on a white background");
   */
  static async fromPretrained<P extends DiffusionPipeline = DiffusionPipeline>(
    this: { readonly className: string },
    source: RepositorySource,
    options: PipelineOptions & Components = {},
  ): Promise<P & AnyCall> {
    options.signal?.throwIfAborted();
    // One component that fails stops the others, as the caller's signal does.
    const controller = new AbortController();
    const stop = (): void => controller.abort(options.signal?.reason);
    options.signal?.addEventListener("abort", stop, { once: true });
    try {
      return (await load(this.className, source, options, controller)) as P & AnyCall;
    } finally {
      options.signal?.removeEventListener("abort", stop);
    }
  }

  /** Takes what model_index.json says besides components. */
  remember(entries: Components): void {
    this.#entries = { ...this.#entries, ...entries };
  }

  /** The components by name, as model_index.json calls them. */
  get components(): Components {
    const { componentNames } = this.constructor as unknown as PipelineClass;
    return Object.fromEntries(componentNames.map((name) => [name, (this as unknown as Components)[name]]));
  }

  /** What model_index.json says of this pipeline as it is now: `config.scheduler` is `["diffusers", "PNDMScheduler"]`. Frozen. */
  get config(): PipelineConfig {
    const { className, initArguments } = this.constructor as unknown as PipelineClass;
    const entries = Object.entries(this.components).map(([name, part]) => [name, componentEntry(part)] as const);
    return pipelineConfig(className, Object.fromEntries(entries), { ...initArguments, ...this.#entries });
  }

  /** As Python prints it: `StableDiffusionPipeline {…json…}` and a newline. */
  override toString(): string {
    return `${(this.constructor as unknown as PipelineClass).className} ${configText(this.config)}`;
  }

  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return this.toString();
  }

  /** The device of the models. */
  get device(): Device {
    for (const component of Object.values(this.components))
      if (component instanceof PretrainedModel && component.device) return component.device;
    throw new Error(`${(this.constructor as unknown as PipelineClass).className}: no model is loaded`);
  }

  /**
   * Models are loaded onto their device, so this only checks: "webgpu" (or "cuda", as Python code has it) is where they are.
   * @throws Error for another device: load the pipeline with { device } instead
   */
  async to(device: Device | string): Promise<this> {
    const here = typeof device === "string" ? ["webgpu", "cuda", "gpu"].includes(device) : device === this.device;
    if (!here)
      throw new Error(
        `to: the pipeline is on a WebGPU device already; to use another, load it with fromPretrained(source, { device })`,
      );
    return this;
  }

  /**
   * Writes model_index.json and a folder per component, as diffusers does; Python's diffusers loads it. What the pipeline
   * holds now is written: a scheduler assigned later, with its class.
   *
   * @param destination a folder (Node), which is made if need be, or an object that takes the files
   * @param options of all models, text encoders included
   * @throws TypeError, RangeError for wrong options; RepositoryError naming the file that cannot be written
   */
  async savePretrained(destination: string | SaveTarget, options: SaveOptions = {}): Promise<void> {
    const { className } = this.constructor as unknown as PipelineClass;
    const { components, config } = this;
    await saveInto(destination, `${className}.savePretrained`, (target) =>
      savePipeline(target, { components, config }, options),
    );
  }

  /**
   * Loads the models again whose device was lost (a driver's reset, a crash of the browser's GPU process), when the calls
   * under way have ended. The same call with the same seed then draws the same picture.
   * @param options device: where to, by default a new one
   * @example
   * catch (error) { if (error instanceof DeviceLostError) await pipeline.recover(); else throw error; }
   */
  async recover({ device, signal }: Pick<PipelineOptions, "device" | "signal"> = {}): Promise<this> {
    await inTurn([this], signal, async () => {
      const target = device ?? (await ensureDevice());
      for (const component of Object.values(this.components))
        if (component instanceof PretrainedModel && component.device?.isLost)
          await component.recover({ device: target, signal });
    });
    return this;
  }

  /** The bar on a terminal: { disable: true } for none, { desc } for a text before it. */
  setProgressBarConfig(config: ProgressBarConfig): void {
    this.progressBarConfig = { ...this.progressBarConfig, ...config };
  }

  /** Frees the weights of all models. */
  dispose(): void {
    for (const component of Object.values(this.components))
      if (component instanceof PretrainedModel) component.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  abstract override call(...args: never[]): Promise<unknown>;
}

/** A pipeline whose class is known only at run time can still be called. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any -- the arguments and results are those of the class in the file
export type AnyCall = (...args: any[]) => Promise<any>;

async function load(
  calledOn: string,
  source: RepositorySource,
  options: PipelineOptions & Components,
  controller: AbortController,
): Promise<DiffusionPipeline> {
  const repository = await openRepository(source, { ...hubOptions(options), signal: controller.signal });
  const index = await readJSON(repository, "model_index.json");
  const Class = pipelineClass(calledOn, index._class_name);
  const fileClass = registry.get(index._class_name as string);
  const extra = Object.fromEntries(Object.entries(options).filter(([name]) => !OPTION_NAMES.has(name)));
  const { given, initArguments } = sortOptions(Class, extra, index, fileClass);
  checkFamilies(Class.className, given, index);

  // Every class is looked up before anything is loaded.
  const loaders = Class.componentNames.flatMap((name) => {
    const loader = name in given ? null : plan(name, index[name]);
    return loader ? [[name, loader] as const] : [];
  });
  const device = options.device ?? (await ensureDevice());
  const { variant, useSafetensors, progressCallback } = options;
  const loaded = await loadComponents(Class.className, repository, loaders, {
    ...{ variant, useSafetensors, progressCallback, device, controller },
    dtype: givenDType(options),
  });
  try {
    const parts = { ...given, ...loaded };
    warnOfClasses(Class.componentClasses, parts);
    const pipeline = new Class({ ...initArguments, ...parts });
    pipeline.remember({ ...initArguments, _name_or_path: typeof source === "string" ? source : repository.name });
    return pipeline;
  } catch (error) {
    for (const component of Object.values(loaded)) if (component instanceof PretrainedModel) component.dispose();
    throw error;
  }
}

function pipelineClass(calledOn: string, inFile: unknown): PipelineClass {
  const name = calledOn === DiffusionPipeline.className ? inFile : calledOn;
  const Class = typeof name === "string" ? registry.get(name) : undefined;
  if (Class) return Class;
  throw new ConfigError(
    `model_index.json: _class_name is ${JSON.stringify(name)?.slice(0, 200)}, which is not a pipeline of this version. Known: ${[...registry.keys()].sort().join(", ")}.`,
  );
}

/** The loader of one entry of model_index.json, `[library, class]`; null where there is nothing to load. */
function plan(component: string, entry: unknown): ReturnType<typeof componentLoader> {
  if (entry === undefined) return null;
  if (!Array.isArray(entry) || entry.length !== 2)
    throw new ConfigError(
      `model_index.json: ${component} must be [library, class], got ${JSON.stringify(entry)?.slice(0, 200)}`,
    );
  const [library, className] = entry as unknown[];
  if (library === null && className === null) return null;
  if (typeof library !== "string" || typeof className !== "string" || library.length + className.length > 200)
    throw new ConfigError(
      `model_index.json: ${component} must be two strings (names of a library and a class) or two nulls, got ${JSON.stringify(entry).slice(0, 200)}`,
    );
  const load = componentLoader(component, library, className);
  if (!load) console.warn(`${component} (${className}) is not available in this version and is left out.`);
  return load;
}
