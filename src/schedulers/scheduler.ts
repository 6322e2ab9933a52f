/** What all schedulers share: config, files, classes that can replace one another, and the surface that pipelines call. */
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
import type { Tensor } from "../tensor/tensor.js";
import { extractInit, FLOAT_KEYS, freeze, registerConfig, type Config } from "./config.js";
import type { NoiseSource } from "./noise.js";
import { findScheduler } from "./registry.js";

const CONFIG_NAME = "scheduler_config.json";

/** Arguments of `fromPretrained` that say where to load from; everything else overrides the config. */
export interface LoadOptions extends HubOptions {
  subfolder?: string;
}

/** Replaces the spacing of `setTimesteps`. Which of these a class takes is listed in its `customSchedules`. */
export interface ScheduleOptions {
  timesteps?: readonly number[];
  sigmas?: readonly number[];
  /** Shift of the schedule for the size of the picture (flow matching). */
  mu?: number;
  /** Steps of the teacher from which a distilled model's steps are picked (LCM, TCD). */
  originalInferenceSteps?: number;
  /** Part of the schedule to run, 0 to 1 (LCM, TCD). */
  strength?: number;
}
export type CustomSchedule = keyof ScheduleOptions;

/** Options of `step`; a scheduler ignores those that are not its own, so that pipelines need not know it. */
export interface StepOptions {
  /** Weight of the noise in DDIM (0: deterministic, 1: DDPM) and TCD. */
  eta?: number;
  /** Derive the direction from the clipped x0 (DDIM). */
  useClippedModelOutput?: boolean;
  /** Source of the step's noise; a list has one generator per sample. */
  generator?: NoiseSource | readonly NoiseSource[] | null;
  /** Noise to use instead of drawing it. */
  varianceNoise?: Tensor | null;
  /** Karras et al. 2022, algorithm 2 (Euler, EDMEuler, FlowMatchHeun). */
  sChurn?: number;
  sTmin?: number;
  sTmax?: number;
  sNoise?: number;
  /** Number of derivatives to use (LMS). */
  order?: number;
  /** A guess of x0 to use instead of the model's (EDMEuler). */
  predOriginalSample?: Tensor | null;
  /** The timestep that follows, where it is not the next of the schedule (UnCLIP). */
  prevTimestep?: number | null;
}

export interface StepResult {
  /** x at the next timestep. Belongs to the caller. */
  prevSample: Tensor;
  /** The model's present guess of x0, where the algorithm has one. Belongs to the caller. */
  predOriginalSample?: Tensor;
  /** LCM: the consistency function's value. Belongs to the caller. */
  denoised?: Tensor;
  /** ScoreSdeVe: the sample without the step's noise. Belongs to the caller. */
  prevSampleMean?: Tensor;
  /** TCD: the sample at the intermediate time, before noise is added. Belongs to the caller. */
  predNoisedSample?: Tensor;
}

/** The class side of a scheduler. */
export interface SchedulerClass<S extends Scheduler = Scheduler> {
  new (options?: never): S;
  readonly className: string;
  readonly defaults: Config;
  readonly deprecatedKeys: Readonly<Record<string, string>>;
  readonly compatibleNames: readonly string[];
  readonly customSchedules: readonly CustomSchedule[];
  fromConfig(config: object, overrides?: object): S;
  fromPretrained(source: RepositorySource, options?: LoadOptions & Record<string, unknown>): Promise<S>;
}

/** The classes that pipelines of the Stable Diffusion family can run (diffusers' KarrasDiffusionSchedulers). */
export const KARRAS_SCHEDULERS: readonly string[] = [
  ...["DDIMScheduler", "DDPMScheduler", "PNDMScheduler", "LMSDiscreteScheduler", "EulerDiscreteScheduler"],
  ...["HeunDiscreteScheduler", "EulerAncestralDiscreteScheduler", "DPMSolverMultistepScheduler"],
  ...["DPMSolverSinglestepScheduler", "KDPM2DiscreteScheduler", "KDPM2AncestralDiscreteScheduler"],
  ...["DEISMultistepScheduler", "UniPCMultistepScheduler", "DPMSolverSDEScheduler", "EDMEulerScheduler"],
];

/** @typeParam C the config keys of the class */
export abstract class Scheduler<C extends object = object> {
  static readonly className: string = "Scheduler";
  /** Every option with its default: the schema of the config. */
  static readonly defaults: Config = {};
  static readonly deprecatedKeys: Readonly<Record<string, string>> = {};
  /** Names of the classes that can run with this class's config; the class itself need not be among them. */
  static readonly compatibleNames: readonly string[] = [];
  /** Options that `setTimesteps` takes besides the number of steps. */
  static readonly customSchedules: readonly CustomSchedule[] = [];

  /** Frozen. Keys of other classes are kept in it, hidden, so that a swap there and back loses nothing. */
  readonly config: Readonly<C> & Config;
  /** Times that the model is called at, in order. May be replaced by a schedule of your own. */
  timesteps: number[] = [];
  /** Standard deviation that the initial noise must have. */
  abstract readonly initNoiseSigma: number;
  /** Calls of the model per step of the schedule. */
  readonly order: number = 1;
  /** Set by `setTimesteps`. */
  numInferenceSteps: number | null = null;

  /** @param options config keys, in the spelling of the files */
  constructor(options: object = {}) {
    this.config = registerConfig(this.#class, options as Config) as Readonly<C> & Config;
  }

  get #class(): SchedulerClass {
    return this.constructor as unknown as SchedulerClass;
  }

  /** Replaces values of the config, where a class knows better than the file (diffusers' register_to_config). */
  protected rewriteConfig(values: Partial<C>): void {
    (this as { config: Config }).config = freeze({ ...this.config, ...values });
  }

  /** The class's name, for messages. */
  get className(): string {
    return this.#class.className;
  }

  /**
   * Makes a scheduler from another one's config (or from the content of a file).
   * @param overrides win over the config; names that the class does not have are ignored
   */
  static fromConfig<S extends Scheduler>(
    this: SchedulerClass<S>,
    config: object,
    overrides: Partial<S["config"]> & Config = {},
  ): S {
    refuseFlow(this, { ...config, ...overrides });
    const compatible = this.compatibleNames.flatMap((name) => findScheduler(name) ?? []);
    const { init, hidden } = extractInit(this, config as Config, overrides, [this, ...compatible], findScheduler);
    const scheduler = new this(init as never);
    (scheduler as { config: Config }).config = freeze({ ...scheduler.config, ...hidden });
    return scheduler;
  }

  /**
   * Reads `scheduler_config.json` from a repository: in `subfolder` first, then at the root.
   * @throws RepositoryError, ConfigError
   */
  static async fromPretrained<S extends Scheduler>(
    this: SchedulerClass<S>,
    source: RepositorySource,
    { subfolder = "", ...options }: LoadOptions & Partial<S["config"]> & Config = {},
  ): Promise<S> {
    const repository = await openRepository(source, hubOptions(options));
    const overrides = Object.fromEntries(Object.entries(options).filter(([key]) => !HUB_OPTION_NAMES.includes(key)));
    const path = subfolder === "" ? CONFIG_NAME : `${subfolder.replace(/\/+$/, "")}/${CONFIG_NAME}`;
    for (const candidate of new Set([path, CONFIG_NAME]))
      if (await repository.open(candidate))
        return this.fromConfig(await readJSON(repository, candidate), overrides as Config);
    throw new RepositoryError(
      `${this.className}.fromPretrained: ${repository.name} has neither ${path} nor ${CONFIG_NAME}`,
    );
  }

  /** Writes `scheduler_config.json` into a folder (Node only); Python's diffusers reads it. */
  async savePretrained(directory: string): Promise<void> {
    if (typeof process === "undefined" || !process.versions?.node)
      throw new Error(
        `${this.className}.savePretrained: a browser has no folders; use toJSONString() and store the text`,
      );
    const { saveText } = await import("../loader/save_node.js");
    await saveText(directory, CONFIG_NAME, this.toJSONString());
  }

  /** Classes that can take this scheduler's config, itself included, in diffusers' order. */
  get compatibles(): SchedulerClass[] {
    const { className, compatibleNames } = this.#class;
    const names = compatibleNames.includes(className) ? compatibleNames : [className, ...compatibleNames];
    return names.flatMap((name) => findScheduler(name) ?? (name === className ? this.#class : []));
  }

  /** The config as diffusers writes it to a file. */
  toJSONString(): string {
    const config: Record<string, unknown> = { ...this.config };
    delete config._use_default_values;
    delete config._ignore_files;
    config._class_name = this.className;
    config._diffusers_version = DIFFUSERS_VERSION;
    return `${toJSONString(config, FLOAT_KEYS)}\n`;
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

  /** Prepares a run of `numInferenceSteps` steps; null where `timesteps` or `sigmas` say how many. */
  abstract setTimesteps(numInferenceSteps: number | null, options?: ScheduleOptions): void;

  /** What the model is to see of `sample` at `timestep`. May be `sample` itself. */
  abstract scaleModelInput(sample: Tensor, timestep: number): Tensor;

  /**
   * One step of denoising.
   * @param modelOutput what the model said of `scaleModelInput(sample, timestep)`
   */
  abstract step(modelOutput: Tensor, timestep: number, sample: Tensor, options?: StepOptions): StepResult;

  /** Frees what is remembered between steps and goes back to the start of the schedule. */
  reset(): void {}
}

/**
 * Flow matching has another forward process: a class without flow sigmas would run on its config and draw noise. diffusers
 * only warns of keys; here the config is refused.
 */
function refuseFlow({ className, defaults }: SchedulerClass, config: Config): void {
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
