/** Schedulers as objects with a config: made from configs and files, saved, printed, and swapped for compatible classes. */
import { checkConfigObject, type ConfigObject } from "../arguments/config_object.js";
import { shown } from "../arguments/shown.js";
import { DIFFUSERS_VERSION, toJSONString } from "../loader/config_json.js";
import { floatKeys, keepNumberTypes } from "../loader/number_types.js";
import type { RepositorySource } from "../loader/repository.js";
import { takeSaveOptions } from "../loader/save_options.js";
import { inFolder, saveInto, saveText, type SaveTarget } from "../loader/save_target.js";
import { offerKeys } from "./config_attributes.js";
import { extractInit, freeze, registerConfig, type Config, type Schema } from "./config.js";
import { CONFIG_NAME, readConfig, splitReturning, type LoadOptions, type Returning } from "./load_config.js";
import { findConfigured } from "./registry.js";

/** Keys that hold floats in Python, so that 1 prints as `1.0`. The other numbers of schedulers' configs are ints. */
const FLOAT_KEYS: readonly string[] = [
  "beta_start",
  "beta_end",
  "trained_betas",
  "clip_sample_range",
  "sample_max_value",
  "dynamic_thresholding_ratio",
  "lambda_min_clipped",
  "sigma_min",
  "sigma_max",
  "sigma_data",
  "rho",
  "s_noise",
  "snr",
  "sampling_eps",
  "shift",
  "flow_shift",
  "base_shift",
  "max_shift",
  "shift_terminal",
  "timestep_scaling",
  "eta",
  "scaler",
  "s",
  "snr_shift_scale",
];

/** Values that win over those of a config: keys of the class, without the index signature that hides wrong ones. */
export type Overrides<S extends ConfiguredScheduler> = {
  [K in keyof S["config"] as string extends K ? never : K]?: S["config"][K];
};

/** The class side of what has a config. */
export interface ConfiguredClass<S extends ConfiguredScheduler = ConfiguredScheduler> extends Schema {
  new (options?: never): S;
  readonly compatibleNames: readonly string[];
  readonly intKeys: readonly string[];
  loadConfig(source: RepositorySource, options?: LoadOptions & Record<string, unknown>): Promise<Config>;
}

/** @typeParam C the config keys of the class */
export abstract class ConfiguredScheduler<C extends object = object> {
  static readonly className: string = "Scheduler";
  /** Every option with its default: the schema of the config. */
  static readonly defaults: Config = {};
  static readonly deprecatedKeys: Readonly<Record<string, string>> = {};
  /** Keys whose defaults are ints in Python, though other classes have floats there: 100 prints as `100`. */
  static readonly intKeys: readonly string[] = [];
  /** Names of the classes that can run with this class's config; the class itself need not be among them. */
  static readonly compatibleNames: readonly string[] = [];

  /**
   * Frozen. Keys of other classes are kept in it, hidden, so that a swap there and back loses nothing. A key is also an
   * attribute of the object, as in Python, but deprecated: it warns.
   */
  readonly config: Readonly<C> & Config;

  /** @param options config keys, in the spelling of the files */
  constructor(options: object = {}) {
    this.config = registerConfig(this.#class, options as Config) as Readonly<C> & Config;
    offerKeys(ConfiguredScheduler.prototype, this.config);
  }

  get #class(): ConfiguredClass {
    return this.constructor as unknown as ConfiguredClass;
  }

  /** Replaces values of the config, where a class knows better than the file (diffusers' register_to_config). */
  protected rewriteConfig(values: Partial<C>): void {
    (this as { config: Config }).config = keepNumberTypes(freeze({ ...this.config, ...values }), this.config);
  }

  /** The class's name, for messages. */
  get className(): string {
    return this.#class.className;
  }

  /**
   * Reads `scheduler_config.json` from a repository: in `subfolder` first, then at the root.
   * @returns the config as it is in the file; with `returnUnusedKwargs` also the options that say nothing of where it is
   * @throws RepositoryError, ConfigError
   */
  static loadConfig(
    source: RepositorySource,
    options: LoadOptions & Returning<true> & Config,
  ): Promise<[config: Config, unused: Config]>;
  static loadConfig(
    source: RepositorySource,
    options?: (LoadOptions & Partial<Returning<false>> & Config) | null,
  ): Promise<Config>;
  static async loadConfig(
    source: RepositorySource,
    options?: (LoadOptions & Partial<Returning<boolean>> & Config) | null,
  ): Promise<Config | [Config, Config]> {
    const [config, unused, returnsUnused] = await readConfig(`${this.className}.loadConfig`, source, options);
    return returnsUnused ? [config, unused] : config;
  }

  /**
   * Makes a scheduler from another one's config (or from the content of a file).
   * @param overrides win over the config; names that the class does not have are ignored, but for its own in camelCase
   * @throws TypeError for anything but a config, and for `useKarrasSigmas` where the class has `use_karras_sigmas`
   * @returns the scheduler; with `returnUnusedKwargs` also those names, and the keys that are hidden in its config
   */
  static fromConfig<C extends ConfiguredClass>(
    this: C,
    config: ConfigObject,
    overrides: Overrides<InstanceType<C>> & Returning<true> & Config,
  ): [scheduler: InstanceType<C>, unused: Config];
  static fromConfig<C extends ConfiguredClass>(
    this: C,
    config: ConfigObject,
    overrides?: (Overrides<InstanceType<C>> & Partial<Returning<false>>) | null,
  ): InstanceType<C>;
  static fromConfig<S extends ConfiguredScheduler>(
    this: ConfiguredClass<S>,
    config: ConfigObject,
    options?: Partial<Returning<boolean>> | null,
  ): S | [S, Config] {
    const caller = `${this.className}.fromConfig`;
    const [returnsUnused, overrides] = splitReturning<Config>(options, Object.keys(this.defaults), caller);
    checkConfigObject(caller, config);
    refuseFlow(this, { ...config, ...overrides });
    const compatible = this.compatibleNames.flatMap((name) => findConfigured(name) ?? []);
    const found = extractInit(this, config as Config, overrides, [this, ...compatible], findConfigured);
    const scheduler = new this(found.init as never);
    const complete = freeze({ ...scheduler.config, ...found.hidden });
    (scheduler as { config: Config }).config = keepNumberTypes(complete, config);
    offerKeys(ConfiguredScheduler.prototype, found.hidden);
    return returnsUnused ? [scheduler, { ...found.unused, ...found.hidden }] : scheduler;
  }

  /**
   * Writes `scheduler_config.json`; Python's diffusers reads it.
   * @param destination a folder (Node), which is made if need be, or an object that takes the files
   * @param options there are none; what is given is warned of
   * @throws RepositoryError naming the file that cannot be written
   */
  async savePretrained(
    destination: string | SaveTarget,
    options?: Readonly<Record<string, never>> | null,
  ): Promise<void> {
    takeSaveOptions(this.className, options);
    await saveInto(destination, `${this.className}.savePretrained`, (target) => this.saveTo(target, ""));
  }

  /** The same as savePretrained(): a scheduler has nothing but a config. */
  saveConfig(destination: string | SaveTarget, options?: Readonly<Record<string, never>> | null): Promise<void> {
    return this.savePretrained(destination, options);
  }

  /** Writes the file of savePretrained() into a folder of `target`. */
  saveTo(target: SaveTarget, folder: string): Promise<void> {
    return saveText(target, inFolder(folder, CONFIG_NAME), this.toJsonString());
  }

  /** Classes that can take this one's config, itself included, in diffusers' order. */
  protected get compatibleClasses(): ConfiguredClass[] {
    const { className, compatibleNames } = this.#class;
    const names = compatibleNames.includes(className) ? compatibleNames : [className, ...compatibleNames];
    return names.flatMap((name) => findConfigured(name) ?? (name === className ? this.#class : []));
  }

  /** The config as diffusers writes it to a file: `to_json_string()`. */
  toJsonString(): string {
    const config: Record<string, unknown> = { ...this.config };
    delete config._use_default_values;
    delete config._ignore_files;
    config._class_name = this.className;
    config._diffusers_version = DIFFUSERS_VERSION;
    const { intKeys } = this.#class;
    const floats = FLOAT_KEYS.filter((key) => !intKeys.includes(key));
    return `${toJSONString(config, floatKeys(this.config, floats))}\n`;
  }

  /** As Python prints it: `PNDMScheduler {…json…}` and a newline. */
  toString(): string {
    return `${this.className} ${this.toJsonString()}`;
  }

  /** A list of classes would print with all their defaults. */
  static [Symbol.for("nodejs.util.inspect.custom")](): string {
    return `[class ${this.className}]`;
  }

  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return this.toString();
  }

  /** Number of timesteps that the model was trained with. */
  get length(): number {
    return this.config.num_train_timesteps as number;
  }
}

/**
 * Flow matching has another forward process: a class without flow sigmas would run on its config and draw noise. diffusers
 * only warns of keys; here the config is refused.
 */
function refuseFlow({ className, compatibleNames, defaults }: ConfiguredClass, config: Config): void {
  if ([className, ...compatibleNames].some((name) => name.startsWith("FlowMatch")) || "use_flow_sigmas" in defaults)
    return;
  const { _class_name: from, prediction_type: prediction, use_flow_sigmas: flow } = config;
  const [key, value] =
    prediction === "flow_prediction"
      ? ["prediction_type", prediction]
      : flow === true || flow === 1
        ? ["use_flow_sigmas", flow]
        : ["_class_name", from];
  if (key === "_class_name" && !(typeof value === "string" && value.startsWith("FlowMatch"))) return;
  throw new RangeError(
    `${className}.fromConfig: cannot take a flow-matching config, got ${key} = ${shown(value)}; ` +
      "FlowMatchEulerDiscreteScheduler and the classes with use_flow_sigmas (UniPC, DPMSolver…) can",
  );
}
