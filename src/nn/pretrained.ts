/** A model with a config and weights that fromPretrained() reads, as diffusers' ModelMixin. */
import { readJSON } from "../loader/config.js";
import { ConfigError } from "../loader/errors.js";
import { joinPath } from "../loader/paths.js";
import { hubOptions, openRepository, type HubOptions, type RepositorySource } from "../loader/repository.js";
import { saveInto, type SaveTarget } from "../loader/save_target.js";
import { openWeightFiles, type WeightStem } from "../loader/weight_files.js";
import { ensureDevice, type Device } from "../tensor/device.js";
import type { DType } from "../tensor/dtype.js";
import { checkConfig, type ConfigSchema } from "./config.js";
import { copyWeights } from "./copy_weights.js";
import { Module } from "./module.js";
import { saveModel, type SaveOptions } from "./save_model.js";
import { loadWeights } from "./weights.js";

export interface FromPretrainedOptions extends HubOptions {
  /** Folder of the model inside the repository, e.g. "unet"; by default the repository's root. */
  subfolder?: string;
  /** Storage of weights and activations; sums are always in float32. Default "float32", whatever the file has. */
  dtype?: "float32" | "float16";
  /** e.g. "fp16": reads `<name>.fp16.safetensors`. A missing variant is an error. */
  variant?: string;
  /** Only safetensors are read, so `false` is refused. */
  useSafetensors?: boolean;
  /** By default the device made first. */
  device?: Device;
  /** Config keys that override the file's, e.g. `{ sample_size: 32 }`. */
  config?: Readonly<Record<string, unknown>>;
}

type ModelClass<M> = (new (config: Readonly<Record<string, unknown>>) => M) & { readonly className: string };

export abstract class PretrainedModel<C extends object> extends Module {
  readonly config: Readonly<C>;
  #dtype: DType = "float32";
  #device: Device | null = null;

  constructor(schema: ConfigSchema, given: Readonly<Record<string, unknown>>) {
    super();
    this.config = checkConfig(schema, given) as unknown as Readonly<C>;
  }

  /** File name of the weights; transformers' models differ. */
  protected get weightStem(): WeightStem {
    return "diffusion_pytorch_model";
  }

  /** The dtype of weights and activations. */
  get dtype(): DType {
    return this.#dtype;
  }

  get device(): Device | null {
    return this.#device;
  }

  /**
   * Loads config.json and the weights of a model.
   * @param source a local folder, an id on the hub ("owner/name"), a base URL, or EMBEDDED_MODEL
   * @throws Error naming file, key and fault; nothing stays allocated
   */
  static async fromPretrained<M extends PretrainedModel<object>>(
    this: ModelClass<M>,
    source: RepositorySource,
    options: FromPretrainedOptions = {},
  ): Promise<M> {
    const { subfolder, dtype = "float32", useSafetensors = true, signal } = options;
    if (dtype !== "float32" && dtype !== "float16")
      throw new TypeError(
        `${this.className}: dtype must be "float32" or "float16", got ${JSON.stringify(dtype)} (WebGPU has no bfloat16)`,
      );
    if (!useSafetensors)
      throw new TypeError(`${this.className}: useSafetensors: false asks for pickles (.bin), which are never read`);
    signal?.throwIfAborted();
    const repository = await openRepository(source, hubOptions(options));
    const configPath = joinPath(subfolder, "config.json");
    const config = { ...(await readJSON(repository, configPath)), _name_or_path: nameOf(source, subfolder) };
    const model = build(this, { ...config, ...options.config }, `${configPath} of ${repository.name}`);
    const files = await openWeightFiles(repository, { subfolder, stem: model.weightStem, variant: options.variant });
    try {
      const device = options.device ?? (await ensureDevice());
      const path = files[0].path;
      const report = options.progressCallback;
      await loadWeights(this.className, model, files, {
        device,
        dtype,
        signal,
        onProgress: ({ loaded, total }) =>
          report?.({
            status: "progress",
            name: this.className,
            file: path,
            progress: (100 * loaded) / total,
            loaded,
            total,
          }),
      });
      model.#device = device;
      model.#dtype = dtype;
    } finally {
      await Promise.all(files.map((file) => file.close?.()));
    }
    return model;
  }

  /**
   * Writes config.json and the weights, as diffusers' (and for text encoders transformers') save_pretrained does: the
   * same bytes for the same tensors. Older weights of the same variant in the folder are removed.
   *
   * @param destination a folder (Node), which is made if need be, or an object that takes the files
   * @throws TypeError, RangeError for wrong options; RepositoryError naming the file that cannot be written
   */
  async savePretrained(destination: string | SaveTarget, options: SaveOptions = {}): Promise<void> {
    const { className } = this.constructor as unknown as { className: string };
    await saveInto(destination, `${className}.savePretrained`, (target) => this.saveTo(target, "", options));
  }

  /** Writes the files of savePretrained() into a folder of `target`. */
  async saveTo(target: SaveTarget, folder: string, options: SaveOptions = {}): Promise<void> {
    const { className } = this.constructor as unknown as { className: string };
    const { config, dtype, weightStem: stem } = this;
    await saveModel(
      target,
      folder,
      { className, config, dtype, stem, parameters: new Map(this.parameters()) },
      options,
    );
    this.device?.trim();
  }

  /** The Python library that has the class, as model_index.json names it. */
  get library(): "diffusers" | "transformers" {
    return this.weightStem === "model" ? "transformers" : "diffusers";
  }

  /** Number of weights. */
  numParameters(): number {
    let count = 0;
    for (const [, { shape }] of this.parameters()) count += shape.reduce((a, b) => a * b, 1);
    return count;
  }

  /**
   * The same model on other devices: weights are read from this one once, piece by piece, and uploaded to all.
   * @returns a model per device, in order
   * @throws what a device says of too little memory; nothing stays allocated
   */
  async copyTo(devices: readonly Device[]): Promise<this[]> {
    const Class = this.constructor as unknown as ModelClass<this>;
    const copies = devices.map(() => new Class(this.config as Readonly<Record<string, unknown>>));
    try {
      await copyWeights(this, copies, devices);
    } catch (error) {
      for (const copy of copies) copy.dispose();
      throw error;
    }
    copies.forEach((copy, i) => {
      copy.#device = devices[i];
      copy.#dtype = this.#dtype;
    });
    return copies;
  }

  /** Frees the weights. */
  dispose(): void {
    for (const [, parameter] of this.parameters()) parameter.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** The modules of a model. Faults of the config get the name of its file. */
function build<M>(Model: ModelClass<M>, config: Readonly<Record<string, unknown>>, file: string): M {
  try {
    return new Model(config);
  } catch (cause) {
    throw new ConfigError(`${file}: ${(cause as Error).message}`, { cause });
  }
}

/** Where a model came from, as diffusers notes it in its config: components of a pipeline with their folder. */
function nameOf(source: RepositorySource, subfolder: string | undefined): string {
  if (typeof source === "string") return source;
  if (source instanceof URL) return source.href;
  return subfolder ? `${source.name}/${subfolder}` : source.name;
}
