/** Pipelines: components named by model_index.json, loaded together and called like functions. */
import { whileReporting } from "../arguments/progress.js";
import { givenOptions } from "../arguments/spelling.js";
import { readClassConfig, type ConfigPlace } from "../loader/class_config.js";
import type { RepositorySource } from "../loader/repository.js";
import { takeSaveOptions } from "../loader/save_options.js";
import { saveInto, type SaveTarget } from "../loader/save_target.js";
import {
  openSingleFile,
  SINGLE_FILE_OPTION_NAMES,
  splitOptions,
  type SingleFilePlace,
} from "../loader/single_file/repository.js";
import { SAVE_OPTION_NAMES, type SaveOptions } from "../nn/weights/save_model.js";
import type { Scheduler } from "../schedulers/scheduler.js";
import type { Tensor } from "../tensor/tensor.js";
import type { ProgressBarConfig } from "./call/progress_bar.js";
import { numpyToPil } from "./images/numpy_to_pil.js";
import type { RawImage } from "./images/raw_image.js";
import { fromPipe } from "./loading/from_pipe.js";
import type { ComponentClass } from "./loading/given_components.js";
import {
  loadPipeline,
  PIPELINE_OPTION_NAMES,
  registeredPipeline,
  type Components,
  type PipelineClass,
  type PipelineOptions,
} from "./loading/load_pipeline.js";
import { componentEntry, configText, pipelineConfig, type PipelineConfig } from "./loading/pipeline_config.js";
import { savePipeline } from "./loading/save_pipeline.js";
import { PlacedModels } from "./placed_models.js";

export { type Components, type PipelineClass, type PipelineOptions } from "./loading/load_pipeline.js";

/** Options of fromSingleFile(). */
export type SingleFileOptions = Omit<PipelineOptions, "variant"> & SingleFilePlace;

export abstract class DiffusionPipeline extends PlacedModels {
  static override readonly className: string = "DiffusionPipeline";
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
   * Called on DiffusionPipeline, the class in the file is used: TypeScript knows what it takes and gives only where it is
   * named, `StableDiffusionPipeline.fromPretrained(…)` or `DiffusionPipeline.fromPretrained<StableDiffusionPipeline>(…)`,
   * and options and components only in the first.
   * Components given in the options are used as they are and their files are not read; null leaves one out.
   *
   * @param source a local folder (Node), an id on the hub ("owner/name"), a base URL, or EMBEDDED_MODEL
   * @throws Error naming file, key and fault; nothing stays allocated
   * @example
   * const pipeline = await DiffusionPipeline.fromPretrained(folder, { dtype: "float16" });
   * const { images } = await pipeline("a red circle on a white background");
   */
  static fromPretrained<P extends DiffusionPipeline = AnyPipeline>(
    this: abstract new () => DiffusionPipeline,
    source: RepositorySource,
    options?: (PipelineOptions & Components) | null,
  ): Promise<P>;
  static fromPretrained<C extends PipelineClass>(
    this: C,
    source: RepositorySource,
    options?: (PipelineOptions & Partial<ConstructorParameters<C>[0]>) | null,
  ): Promise<InstanceType<C>>;
  static async fromPretrained(
    this: unknown,
    source: RepositorySource,
    given?: (PipelineOptions & Components) | null,
  ): Promise<DiffusionPipeline> {
    const caller = `${(this as PipelineClass).className}.fromPretrained`;
    const options = givenOptions(given, PIPELINE_OPTION_NAMES, caller);
    const classOf = this === DiffusionPipeline ? registeredPipeline : () => this as PipelineClass;
    // One component that fails stops the others, as the caller's signal does.
    return whileReporting(options, (controller, progressCallback) =>
      loadPipeline(source, { ...options, progressCallback }, { classOf, controller }),
    );
  }

  /**
   * Loads a pipeline from a checkpoint in one file, as Stable Diffusion 1.x, 2.x and XL are handed around: weights are read from it under
   * their names in diffusers, nothing is converted. Configs and the tokenizer come from `config`, by default the repository on the hub
   * that diffusers takes for such a file.
   * @param source the path or address of a .safetensors file, or a repository, with `weightName`
   * @throws Error naming file, key and fault; nothing stays allocated
   * @example
   * const pipeline = await StableDiffusionPipeline.fromSingleFile("dreamlike.safetensors", { dtype: "float16" });
   */
  static fromSingleFile<P extends DiffusionPipeline = AnyPipeline>(
    this: abstract new () => DiffusionPipeline,
    source: RepositorySource,
    options?: (SingleFileOptions & Components) | null,
  ): Promise<P>;
  static fromSingleFile<C extends PipelineClass>(
    this: C,
    source: RepositorySource,
    options?: (SingleFileOptions & Partial<ConstructorParameters<C>[0]>) | null,
  ): Promise<InstanceType<C>>;
  static async fromSingleFile(
    this: unknown,
    source: RepositorySource,
    given?: (SingleFileOptions & Components) | null,
  ): Promise<DiffusionPipeline> {
    const Class = this as typeof DiffusionPipeline & PipelineClass;
    const caller = `${Class.className}.fromSingleFile`;
    const known = [...PIPELINE_OPTION_NAMES, ...SINGLE_FILE_OPTION_NAMES];
    const [place, options] = splitOptions(givenOptions(given, known, caller));
    return Class.fromPretrained(await openSingleFile(caller, source, place), options);
  }

  /**
   * Reads what a repository says of its pipeline: `model_index.json`, or the file whose path is given.
   * @returns its class and components as they are in the file, `{ _class_name, scheduler: ["diffusers", "PNDMScheduler"], … }`
   * @throws RepositoryError, ConfigError
   */
  static loadConfig(source: RepositorySource, options?: ConfigPlace | null): Promise<Record<string, unknown>> {
    return readClassConfig(`${this.className}.loadConfig`, "model_index.json", source, options);
  }

  /**
   * A pipeline of this class with the components and settings of another one, which it shares: nothing is copied, and
   * either's dispose() frees the models of both.
   * @param options components and constructor arguments to take instead, `{ scheduler }`
   * @throws TypeError naming a component that the other has not, and any other option
   */
  static fromPipe<C extends PipelineClass>(
    this: C,
    pipeline: DiffusionPipeline,
    options?: Partial<ConstructorParameters<C>[0]> | null,
  ): InstanceType<C> {
    return fromPipe(this, pipeline, options);
  }

  /** `interrupt` under the name that Python programs set. */
  get _interrupt(): boolean {
    return this.interrupt;
  }

  set _interrupt(interrupt: boolean) {
    this.interrupt = interrupt;
  }

  /** Takes what model_index.json says besides components. */
  remember(entries: Components): void {
    this.#entries = { ...this.#entries, ...entries };
  }

  /** The components by name, as model_index.json calls them. */
  get components(): Components {
    const { componentNames } = this.#class;
    return Object.fromEntries(componentNames.map((name) => [name, (this as unknown as Components)[name]]));
  }

  /** What model_index.json says of this pipeline as it is now: `config.scheduler` is `["diffusers", "PNDMScheduler"]`. Frozen. */
  get config(): PipelineConfig {
    const { className, initArguments } = this.#class;
    const entries = Object.entries(this.components).map(([name, part]) => [name, componentEntry(part)] as const);
    return pipelineConfig(className, Object.fromEntries(entries), { ...initArguments, ...this.#entries });
  }

  /** Where it was loaded from, a folder, an address or an id; null for one that was put together. */
  get nameOrPath(): string | null {
    return (this.#entries._name_or_path as string | undefined) ?? null;
  }

  /** model_index.json as savePretrained() writes it: `to_json_string()`. */
  toJsonString(): string {
    return configText(this.config);
  }

  /** As Python prints it: `StableDiffusionPipeline {…json…}` and a newline. */
  override toString(): string {
    return `${this.className} ${this.toJsonString()}`;
  }

  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return this.toString();
  }

  get #class(): PipelineClass {
    return this.constructor as unknown as PipelineClass;
  }

  /**
   * Writes model_index.json and a folder per component, as diffusers does; Python's diffusers loads it. What the pipeline
   * holds now is written: a scheduler assigned later, with its class.
   *
   * @param destination a folder (Node), which is made if need be, or an object that takes the files
   * @param given options of all models, text encoders included
   * @throws TypeError, RangeError for wrong options; RepositoryError naming the file that cannot be written
   */
  async savePretrained(destination: string | SaveTarget, given?: SaveOptions | null): Promise<void> {
    const { className, components, config } = this;
    const options = takeSaveOptions(className, given, SAVE_OPTION_NAMES);
    await saveInto(destination, `${className}.savePretrained`, (target) =>
      savePipeline(target, { components, config }, options),
    );
  }

  /** Python code may call it, and disableAttentionSlicing(): nothing changes, as attention never holds all its scores here. */
  enableAttentionSlicing(_sliceSize: number | "auto" | "max" | null = "auto"): void {}

  disableAttentionSlicing(): void {}

  /** As enableAttentionSlicing(). */
  enableXformersMemoryEfficientAttention(_attentionOp: unknown = null): void {}

  disableXformersMemoryEfficientAttention(): void {}

  /** Pictures from a call's `outputType: "np"`: see numpyToPil(). */
  numpyToPil(images: Tensor): Promise<RawImage[]> {
    return numpyToPil(images);
  }

  /** The bar on a terminal: { disable: true } for none, { desc } for a text before it. */
  setProgressBarConfig(config: ProgressBarConfig): void {
    this.progressBarConfig = { ...this.progressBarConfig, ...config };
  }

  abstract override call(...args: never[]): Promise<unknown>;
}

/** A pipeline whose class is known only at run time: it can be called, and has a scheduler as all of them. */
export type AnyPipeline = DiffusionPipeline & { scheduler: Scheduler } &
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- the arguments and results are those of the class in the file
  ((...args: any[]) => Promise<any>);
