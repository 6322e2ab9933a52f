/** Schedulers as objects with a config: made from configs and files, saved, printed, and swapped for compatible classes. */
import { readJSON } from "../loader/config.js";
import { DIFFUSERS_VERSION, toJSONString } from "../loader/config_json.js";
import {
  HUB_OPTION_NAMES,
  hubOptions,
  openRepository,
  RepositoryError,
  type HubOptions,
  type RepositorySource,
} from "../loader/repository.js";
import { inFolder, saveInto, saveText, type SaveTarget } from "../loader/save_target.js";
import { extractInit, freeze, registerConfig, type Config, type Schema } from "./config.js";
import { floatKeys, keepNumberTypes } from "./number_types.js";
import { findConfigured } from "./registry.js";

const CONFIG_NAME = "scheduler_config.json";

/** Arguments of `fromPretrained` that say where to load from; everything else overrides the config. */
export interface LoadOptions extends HubOptions {
  subfolder?: string;
}

/** The class side of what has a config. */
export interface ConfiguredClass<S extends ConfiguredScheduler = ConfiguredScheduler> extends Schema {
  new (options?: never): S;
  readonly compatibleNames: readonly string[];
  readonly intKeys: readonly string[];
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

  /** Frozen. Keys of other classes are kept in it, hidden, so that a swap there and back loses nothing. */
  readonly config: Readonly<C> & Config;

  /** @param options config keys, in the spelling of the files */
  constructor(options: object = {}) {
    this.config = registerConfig(this.#class, options as Config) as Readonly<C> & Config;
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
   * Makes a scheduler from another one's config (or from the content of a file).
   * @param overrides win over the config; names that the class does not have are ignored
   */
  static fromConfig<S extends ConfiguredScheduler>(
    this: ConfiguredClass<S>,
    config: object,
    overrides: Partial<S["config"]> & Config = {},
  ): S {
    refuseFlow(this, { ...config, ...overrides });
    const compatible = this.compatibleNames.flatMap((name) => findConfigured(name) ?? []);
    const { init, hidden } = extractInit(this, config as Config, overrides, [this, ...compatible], findConfigured);
    const scheduler = new this(init as never);
    const complete = freeze({ ...scheduler.config, ...hidden });
    (scheduler as { config: Config }).config = keepNumberTypes(complete, config);
    return scheduler;
  }

  /**
   * Writes `scheduler_config.json`; Python's diffusers reads it.
   * @param destination a folder (Node), which is made if need be, or an object that takes the files
   * @throws RepositoryError naming the file that cannot be written
   */
  async savePretrained(destination: string | SaveTarget): Promise<void> {
    await saveInto(destination, `${this.className}.savePretrained`, (target) => this.saveTo(target, ""));
  }

  /** Writes the file of savePretrained() into a folder of `target`. */
  saveTo(target: SaveTarget, folder: string): Promise<void> {
    return saveText(target, inFolder(folder, CONFIG_NAME), this.toJSONString());
  }

  /** Classes that can take this one's config, itself included, in diffusers' order. */
  protected get compatibleClasses(): ConfiguredClass[] {
    const { className, compatibleNames } = this.#class;
    const names = compatibleNames.includes(className) ? compatibleNames : [className, ...compatibleNames];
    return names.flatMap((name) => findConfigured(name) ?? (name === className ? this.#class : []));
  }

  /** The config as diffusers writes it to a file. */
  toJSONString(): string {
    const config: Record<string, unknown> = { ...this.config };
    delete config._use_default_values;
    delete config._ignore_files;
    config._class_name = this.className;
    config._diffusers_version = DIFFUSERS_VERSION;
    return `${toJSONString(config, floatKeys(this.config, this.#class.intKeys))}\n`;
  }

  /** As Python prints it: `PNDMScheduler {…json…}` and a newline. */
  toString(): string {
    return `${this.className} ${this.toJSONString()}`;
  }

  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return this.toString();
  }

  /** Number of timesteps that the model was trained with. */
  get length(): number {
    return this.config.num_train_timesteps as number;
  }
}

/** The content of `scheduler_config.json`, in `subfolder` or else at the root, and the options that override it. */
export async function loadConfig(
  className: string,
  source: RepositorySource,
  { subfolder = "", ...options }: LoadOptions & Config,
): Promise<{ config: Config; overrides: Config }> {
  const repository = await openRepository(source, hubOptions(options));
  const overrides = Object.fromEntries(Object.entries(options).filter(([key]) => !HUB_OPTION_NAMES.includes(key)));
  const path = subfolder === "" ? CONFIG_NAME : `${subfolder.replace(/\/+$/, "")}/${CONFIG_NAME}`;
  for (const candidate of new Set([path, CONFIG_NAME]))
    if (await repository.open(candidate)) return { config: await readJSON(repository, candidate), overrides };
  throw new RepositoryError(`${className}.fromPretrained: ${repository.name} has neither ${path} nor ${CONFIG_NAME}`);
}

/**
 * Flow matching has another forward process: a class without flow sigmas would run on its config and draw noise. diffusers
 * only warns of keys; here the config is refused.
 */
function refuseFlow({ className, defaults }: ConfiguredClass, config: Config): void {
  if (className.startsWith("FlowMatch") || "use_flow_sigmas" in defaults) return;
  const { _class_name: from, prediction_type: prediction, use_flow_sigmas: flow } = config;
  const [key, value] =
    prediction === "flow_prediction"
      ? ["prediction_type", prediction]
      : flow === true
        ? ["use_flow_sigmas", flow]
        : ["_class_name", from];
  if (key === "_class_name" && !(typeof value === "string" && value.startsWith("FlowMatch"))) return;
  throw new RangeError(
    `${className}.fromConfig: cannot take a flow-matching config, got ${key} = ${JSON.stringify(value)}; ` +
      "FlowMatchEulerDiscreteScheduler and the classes with use_flow_sigmas (UniPC, DPMSolver…) can",
  );
}
