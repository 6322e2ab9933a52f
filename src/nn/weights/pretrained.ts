/** A model with a config and weights that fromPretrained() reads, as diffusers' ModelMixin. */
import { checkConfigObject, type ConfigObject } from "../../arguments/config_object.js";
import { plainOptions } from "../../arguments/options.js";
import { throwIfAborted } from "../../arguments/signal.js";
import { givenOptions } from "../../arguments/spelling.js";
import { readClassConfig, type ConfigPlace } from "../../loader/class_config.js";
import { keepNumberTypes } from "../../loader/number_types.js";
import type { HubOptions, RepositorySource } from "../../loader/repository.js";
import { takeSaveOptions } from "../../loader/save_options.js";
import { saveInto, saveText, type SaveTarget } from "../../loader/save_target.js";
import {
  openSingleFile,
  SINGLE_FILE_OPTION_NAMES,
  splitOptions,
  type SingleFilePlace,
} from "../../loader/single_file/repository.js";
import type { WeightStem } from "../../loader/weight_files.js";
import { checkDevice, ensureDevice, type Device } from "../../tensor/device.js";
import { BYTES, product, type DType } from "../../tensor/dtype.js";
import { checkConfig, warnOfUnexpected, type ConfigSchema } from "../config.js";
import type { DTypeOptions } from "../dtype.js";
import { Embedding } from "../layers.js";
import { changedKeys, NO_ADAPTERS, shares, type Adapters, type Share } from "../lora/adapters.js";
import { Deltas } from "../lora/deltas.js";
import { Module, type Parameter } from "../module.js";
import { notYet } from "../not_yet.js";
import { copyWeights } from "./copy_weights.js";
import {
  configKeys,
  loadModelWithInfo,
  MODEL_OPTION_NAMES,
  type LoadingInfo,
  type ModelClass,
  type ReadWeights,
} from "./load_model.js";
import { Residence } from "./residence.js";
import {
  CONFIG_NAME,
  configText,
  SAVE_OPTION_NAMES,
  saveModel,
  type SaveDType,
  type SavedModel,
  type SaveOptions,
} from "./save_model.js";
import { wantedPlace } from "./wanted_place.js";

/** null is as nothing, as Python's None, but for keys of the config. */
export interface FromPretrainedOptions extends HubOptions, DTypeOptions {
  /** Folder of the model inside the repository, e.g. "unet"; by default the repository's root. */
  subfolder?: string | null;
  /** e.g. "fp16": reads `<name>.fp16.safetensors`. A missing variant is an error. */
  variant?: string | null;
  /** Only safetensors are read, so `false` is refused. */
  useSafetensors?: boolean | null;
  /** By default the device made first. */
  device?: Device | null;
  /** Config keys that override the file's, e.g. `{ sample_size: 32 }`. */
  config?: Readonly<Record<string, unknown>> | null;
}

/** null is as nothing, as Python's None. */
export interface NumParametersOptions {
  excludeEmbeddings?: boolean | null;
  onlyTrainable?: boolean | null;
}

/** With `outputLoadingInfo` the result is a list of the model and what was found in its files. */
interface Informing<B extends boolean | null> {
  outputLoadingInfo: B;
}

/** Options of a model's fromSingleFile(). */
export type SingleFileModelOptions = Pick<FromPretrainedOptions, "device"> & DTypeOptions & SingleFilePlace;

/** Where a class's weights are among those of a checkpoint in one file. */
const SINGLE_FILE_COMPONENTS: Readonly<Partial<Record<string, string>>> = {
  UNet2DConditionModel: "unet",
  AutoencoderKL: "vae",
};

export abstract class PretrainedModel<C extends object> extends Module {
  /** File name of the weights; transformers' models differ. */
  static readonly weightStem: WeightStem = "diffusion_pytorch_model";
  /** What transformers' configs say of their kind. */
  static readonly modelType?: string;
  /** Moves the weights between the GPU and the CPU. */
  readonly residence = new Residence(this);
  #config: Readonly<C>;
  #dtype: DType = "float32";
  #device: Device | null = null;
  #read: ReadWeights | null = null;
  #adapters = NO_ADAPTERS;
  /** What the weights have of them. */
  #shares: ReadonlyMap<string, readonly Share[]> = new Map();

  constructor(schema: ConfigSchema, given: Readonly<Record<string, unknown>>) {
    super();
    this.#config = checkConfig(schema, given) as unknown as Readonly<C>;
    // transformers' configs have keys of many kinds, and it says nothing of those that are not the class's own.
    if (this.#class.weightStem !== "model") warnOfUnexpected(schema, given);
  }

  /** What it was made of; frozen. */
  get config(): Readonly<C> {
    return this.#config;
  }

  /** Says what has become of the model since. */
  protected changeConfig(values: Partial<C>): void {
    this.#config = Object.freeze(keepNumberTypes({ ...this.#config, ...values }, this.#config));
  }

  /** The dtype of weights and activations. */
  get dtype(): DType {
    return this.#dtype;
  }

  get device(): Device | null {
    return this.#device;
  }

  /**
   * Loads config.json and the weights of a model. Options in the spelling of the config override it: `{ sample_size: 24 }`.
   * @param source a local folder, an id on the hub ("owner/name"), a base URL, or EMBEDDED_MODEL
   * @returns the model; with `outputLoadingInfo` also which tensors of the files it did not need
   * @throws Error naming file, key and fault; nothing stays allocated
   */
  static fromPretrained<C extends ModelClass<PretrainedModel<object>>>(
    this: C,
    source: RepositorySource,
    options: FromPretrainedOptions & Partial<InstanceType<C>["config"]> & Informing<true>,
  ): Promise<[model: InstanceType<C>, info: LoadingInfo]>;
  static fromPretrained<C extends ModelClass<PretrainedModel<object>>>(
    this: C,
    source: RepositorySource,
    options?: (FromPretrainedOptions & Partial<InstanceType<C>["config"]> & Partial<Informing<false | null>>) | null,
  ): Promise<InstanceType<C>>;
  static async fromPretrained<M extends PretrainedModel<object>>(
    this: ModelClass<M>,
    source: RepositorySource,
    given?: (FromPretrainedOptions & Partial<M["config"]> & Partial<Informing<boolean | null>>) | null,
  ): Promise<M | [M, LoadingInfo]> {
    const known = [...MODEL_OPTION_NAMES, "outputLoadingInfo"];
    const { outputLoadingInfo = false, ...options } = givenOptions(given, known, `${this.className}.fromPretrained`);
    const loaded = await loadModelWithInfo(this, source, options as FromPretrainedOptions, { alsoAtRoot: true });
    return outputLoadingInfo ? loaded : loaded[0];
  }

  /**
   * Reads a model's config alone: `config.json` of a repository, in `subfolder` first, then at the root, or the file whose path is
   * given.
   * @returns the config as it is in the file, for `fromConfig`
   * @throws RepositoryError, ConfigError
   */
  static loadConfig(
    this: Pick<ModelClass<unknown>, "className">,
    source: RepositorySource,
    options?: ConfigPlace | null,
  ): Promise<Record<string, unknown>> {
    return readClassConfig(`${this.className}.loadConfig`, "config.json", source, options);
  }

  /**
   * Loads a UNet2DConditionModel or an AutoencoderKL from a checkpoint in one file, see DiffusionPipeline.fromSingleFile(); an
   * AutoencoderKL also from one that has nothing else.
   * @throws Error naming file, key and fault; for other classes what to do in Python
   */
  static async fromSingleFile<C extends ModelClass<PretrainedModel<object>>>(
    this: C,
    source: RepositorySource,
    given?: SingleFileModelOptions | null,
  ): Promise<InstanceType<C>> {
    const component = SINGLE_FILE_COMPONENTS[this.className];
    if (component === undefined) throw notYet(this.className, "fromSingleFile");
    const caller = `${this.className}.fromSingleFile`;
    const known = [...MODEL_OPTION_NAMES, ...SINGLE_FILE_OPTION_NAMES];
    const [place, options] = splitOptions(givenOptions(given, known, caller));
    const repository = await openSingleFile(caller, source, place);
    return (await loadModelWithInfo(this, repository, { ...options, subfolder: component }))[0] as InstanceType<C>;
  }

  /**
   * A model of another one's config, as yet without weights.
   * @param overrides config keys that win; others than the class has are ignored
   * @throws TypeError naming a key whose value nothing here computes
   */
  static fromConfig<C extends ModelClass<PretrainedModel<object>>>(
    this: C,
    config: ConfigObject,
    overrides?: Partial<InstanceType<C>["config"]> | null,
  ): InstanceType<C> {
    const caller = `${this.className}.fromConfig`;
    checkConfigObject(caller, config);
    const wins = plainOptions(overrides, Object.keys(this.defaults), caller);
    return new this({ ...config, ...configKeys(this, wins) }) as InstanceType<C>;
  }

  /** Says where the weights are, or will be, and in which dtype. */
  placeOn(device: Device, dtype: DType): void {
    this.#device = device;
    this.#dtype = dtype;
  }

  /** Takes how its weights are read again. */
  remember(read: ReadWeights): void {
    this.#read = read;
  }

  /**
   * Reads the weights again, onto another device: what has to be done when the model's own was lost.
   * @param options device: by default the one made first, or a new one where that is lost, too
   * @throws Error for a model that fromPretrained() did not load; nothing stays allocated
   */
  async recover(options?: Pick<FromPretrainedOptions, "device" | "signal"> | null): Promise<void> {
    const { device, signal } = givenOptions(options, ["device", "signal"], `${this.#class.className}.recover`);
    if (!this.#read)
      throw new Error(`${this.#class.className}.recover: only what fromPretrained() has loaded can be loaded again`);
    throwIfAborted(signal);
    const target = await ensureDevice(device);
    this.dispose();
    await this.#read(target, { signal, deltas: new Deltas(this.#shares, signal) });
    // Only now: where the read fails, the model is still one whose device is lost, and can be recovered.
    this.placeOn(target, this.#dtype);
  }

  /** The LoRAs that it has, for pipelines. */
  get loraAdapters(): Adapters {
    return this.#adapters;
  }

  /**
   * Takes other LoRAs: weights to which something else is added now are read again from their files, so that nothing is left of what was.
   * @param options scale: of all that are not fused
   * @throws Error for a model that fromPretrained() did not load; what reading throws. The weights are as before then, or freed where
   *   they cannot be read again
   */
  async adapt(adapters: Adapters, { scale = 1, signal }: { scale?: number; signal?: AbortSignal } = {}): Promise<void> {
    const wanted = shares(adapters, scale);
    const changed = changedKeys(wanted, this.#shares);
    if (changed.size > 0) await this.residence.visit(() => this.#reread(changed, wanted, signal));
    this.#adapters = adapters;
    this.#shares = wanted;
  }

  async #reread(
    keys: ReadonlySet<string>,
    wanted: ReadonlyMap<string, readonly Share[]>,
    signal?: AbortSignal,
  ): Promise<void> {
    const read = this.#read;
    const device = this.#device;
    if (!read || !device)
      throw new Error(`${this.#class.className}: LoRA weights can be added only to what fromPretrained() has loaded`);
    const parameters = [...this.parameters()];
    // Those that lie in one tensor are read together.
    const holders = new Set(parameters.filter(([key]) => keys.has(key)).map(([, { holder }]) => holder));
    const only = new Set(parameters.map(([, each]) => each).filter(({ holder }) => holders.has(holder)));
    try {
      await read(device, { signal, only, deltas: new Deltas(wanted, signal) });
    } catch (error) {
      await read(device, { only, deltas: new Deltas(this.#shares) }).catch(() => this.dispose());
      throw error;
    }
  }

  /**
   * Writes config.json and the weights, as diffusers' (and for text encoders transformers') save_pretrained does: the
   * same bytes for the same tensors. Older weights of the same variant in the folder are removed.
   *
   * @param destination a folder (Node), which is made if need be, or an object that takes the files
   * @throws TypeError, RangeError for wrong options; RepositoryError naming the file that cannot be written
   */
  async savePretrained(destination: string | SaveTarget, given?: SaveOptions | null): Promise<void> {
    const { className } = this.#class;
    const options = takeSaveOptions(className, given, SAVE_OPTION_NAMES);
    await saveInto(destination, `${className}.savePretrained`, (target) => this.saveTo(target, "", options));
  }

  /** Writes the files of savePretrained() into a folder of `target`. */
  async saveTo(target: SaveTarget, folder: string, options: SaveOptions = {}): Promise<void> {
    await this.residence.visit(() => saveModel(target, folder, this.#described, options));
    this.device?.trim();
  }

  /**
   * Writes the config.json of savePretrained() alone; the model need not have weights.
   * @param destination a folder (Node), which is made if need be, or an object that takes the files
   * @throws RepositoryError naming the file that cannot be written
   */
  async saveConfig(destination: string | SaveTarget): Promise<void> {
    await saveInto(destination, `${this.#class.className}.saveConfig`, (target) =>
      saveText(target, CONFIG_NAME, this.toJsonString()),
    );
  }

  /** config.json as savePretrained() writes it: `to_json_string()`. */
  toJsonString(): string {
    return configText(this.#described, this.#dtype as SaveDType);
  }

  get #described(): SavedModel {
    const { className, weightStem: stem, modelType } = this.#class;
    const { config, dtype, fileClass } = this;
    return { className, fileClass, config, dtype, stem, modelType, parameters: new Map(this.parameters()) };
  }

  /** `UNet2DConditionModel {…config.json…}` and a newline. Python prints the tree of modules, which says less. */
  override toString(): string {
    return `${this.#class.className} ${this.toJsonString()}`;
  }

  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return this.toString();
  }

  get #class(): ModelClass<this> {
    return this.constructor as unknown as ModelClass<this>;
  }

  /** The class that config.json and model_index.json name: Flax's models are saved as those of torch. */
  get fileClass(): string {
    return this.#class.fileClass ?? this.#class.className;
  }

  /** The Python library that has the class, as model_index.json names it; of diffusers' classes of one pipeline, that. */
  get library(): "diffusers" | "transformers" | "stable_diffusion" {
    return this.#class.weightStem === "model" ? "transformers" : "diffusers";
  }

  /**
   * Number of weights.
   * @param options excludeEmbeddings: without those of tables of rows (of tokens, positions, classes). `onlyTrainable` changes
   *   nothing: as those of a model that Python has loaded, all are trainable.
   */
  numParameters(options?: NumParametersOptions | null): number {
    const known = ["excludeEmbeddings", "onlyTrainable"];
    const { excludeEmbeddings } = givenOptions(options, known, `${this.#class.className}.numParameters`);
    const tables = new Set<Parameter>();
    if (excludeEmbeddings)
      for (const [, module] of this.modules()) if (module instanceof Embedding) tables.add(module.weight);
    let count = 0;
    for (const [, parameter] of this.parameters()) if (!tables.has(parameter)) count += product(parameter.shape);
    return count;
  }

  /** Bytes of the weights on the GPU. */
  getMemoryFootprint(): number {
    let bytes = 0;
    for (const [, { shape, dtype = this.dtype }] of this.parameters()) bytes += product(shape) * BYTES[dtype];
    return bytes;
  }

  /**
   * Moves the weights: "cpu" frees their GPU memory, and nothing is computed until "webgpu" (or "cuda", as Python code has it) brings
   * them back to their device.
   * @param more a dtype, or a device behind one
   * @throws Error for another device or dtype: load the model with { device, dtype } instead; for "cpu" while a call needs the weights
   */
  async to(device: Device | string, ...more: (Device | string | null | undefined)[]): Promise<this> {
    const { className } = this.#class;
    const wanted = wantedPlace([device, ...more], className, { device: this.device, dtypes: [this.dtype] });
    if (wanted === "cpu" && !(await this.residence.toCpu()))
      throw new Error(`to: ${className} cannot go to the CPU while a call needs it`);
    if (wanted === "gpu") {
      await this.residence.toGpu();
      this.residence.forgetCopies();
    }
    return this;
  }

  /**
   * The same model on other devices: weights are read from this one once, piece by piece, and uploaded to all.
   * @returns a model per device, in order
   * @throws what a device says of too little memory; nothing stays allocated
   */
  async copyTo(devices: readonly Device[]): Promise<this[]> {
    const Class = this.constructor as unknown as ModelClass<this>;
    const copies = devices.map(checkDevice).map(() => new Class(this.config as Readonly<Record<string, unknown>>));
    try {
      await this.residence.visit(() => copyWeights(this, copies, devices));
    } catch (error) {
      for (const copy of copies) copy.dispose();
      throw error;
    }
    copies.forEach((copy, i) => copy.placeOn(devices[i], this.#dtype));
    return copies;
  }

  /** Python code may call it: nothing changes, as models here are never in training. */
  eval(): this {
    return this;
  }

  /** Whether its weights were freed: it cannot be used any more. */
  get isDisposed(): boolean {
    for (const [, { disposed }] of this.parameters()) return disposed;
    return false;
  }

  /** Frees the weights. */
  dispose(): void {
    for (const [, parameter] of this.parameters()) parameter.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
