/** What all stateful schedulers share: the surface that pipelines call. */
import type { ConfigObject } from "../arguments/config_object.js";
import type { RepositorySource } from "../loader/repository.js";
import type { Tensor } from "../tensor/tensor.js";
import type { Config } from "./config.js";
import { ConfiguredScheduler, type ConfiguredClass, type Overrides } from "./configured_scheduler.js";
import { readConfig, type LoadOptions, type Returning } from "./load_config.js";
import type { StepOptions } from "./step_options.js";

export type { LoadOptions, StepOptions };

/** Replaces the spacing of `setTimesteps`. Which of these a class takes is listed in its `customSchedules`. */
export interface ScheduleOptions {
  /** Training timesteps to visit, descending. */
  timesteps?: readonly number[];
  /** Noise levels to visit, descending. */
  sigmas?: readonly number[];
  /** Shift of the schedule for the size of the picture (flow matching). */
  mu?: number;
  /** Steps of the teacher from which a distilled model's steps are picked (LCM, TCD). */
  originalInferenceSteps?: number;
  /** Part of the schedule to run, 0 to 1 (LCM, TCD). */
  strength?: number;
  /** Steps that a jump back goes, and how often each is gone (RePaint). */
  jumpLength?: number;
  jumpNSample?: number;
}
/** The name of one of them. */
export type CustomSchedule = keyof ScheduleOptions;

/** What `step` gives. */
export interface StepResult {
  /** x at the next timestep. Belongs to the caller. */
  prevSample: Tensor;
  /** The model's present guess of x0, where the algorithm has one. Belongs to the caller. */
  predOriginalSample?: Tensor;
  /** LCM: the consistency function's value. Belongs to the caller. */
  denoised?: Tensor;
  /** ScoreSdeVe: the sample without the step's noise. Belongs to the caller. */
  prevSampleMean?: Tensor;
  /** KarrasVe: dx/dσ at the step's beginning. Belongs to the caller. */
  derivative?: Tensor;
  /** TCD: the sample at the intermediate time, before noise is added. Belongs to the caller. */
  predNoisedSample?: Tensor;
}

/** The class side of a scheduler. */
export interface SchedulerClass<S extends Scheduler = Scheduler> extends ConfiguredClass<S> {
  /** Options that `setTimesteps` takes besides the number of steps. */
  readonly customSchedules: readonly CustomSchedule[];
  fromConfig(config: ConfigObject, overrides: Returning<true> & Config): [scheduler: S, unused: Config];
  fromConfig(config: ConfigObject, overrides?: object): S;
  fromPretrained(
    source: RepositorySource,
    options: LoadOptions & Returning<true> & Config,
  ): Promise<[scheduler: S, unused: Config]>;
  fromPretrained(source: RepositorySource, options?: LoadOptions & Record<string, unknown>): Promise<S>;
}

/** The classes that pipelines of the Stable Diffusion family can run (diffusers' KarrasDiffusionSchedulers). */
export const KARRAS_SCHEDULERS: readonly string[] = [
  "DDIMScheduler",
  "DDPMScheduler",
  "PNDMScheduler",
  "LMSDiscreteScheduler",
  "EulerDiscreteScheduler",
  "HeunDiscreteScheduler",
  "EulerAncestralDiscreteScheduler",
  "DPMSolverMultistepScheduler",
  "DPMSolverSinglestepScheduler",
  "KDPM2DiscreteScheduler",
  "KDPM2AncestralDiscreteScheduler",
  "DEISMultistepScheduler",
  "UniPCMultistepScheduler",
  "DPMSolverSDEScheduler",
  "EDMEulerScheduler",
];

/** @typeParam C the config keys of the class */
export abstract class Scheduler<C extends object = object> extends ConfiguredScheduler<C> {
  /** Options that `setTimesteps` takes besides the number of steps. */
  static readonly customSchedules: readonly CustomSchedule[] = [];

  /** Times that the model is called at, in order. May be replaced by a schedule of your own. */
  timesteps: number[] = [];
  /** Standard deviation that the initial noise must have. */
  abstract readonly initNoiseSigma: number;
  /** Calls of the model per step of the schedule. */
  readonly order: number = 1;
  /** Set by `setTimesteps`. */
  numInferenceSteps: number | null = null;

  /**
   * Reads `scheduler_config.json` from a repository: in `subfolder` first, then at the root.
   * @returns the scheduler; with `returnUnusedKwargs` also what `fromConfig` returns so
   * @throws RepositoryError, ConfigError
   */
  static fromPretrained<C extends ConfiguredClass<Scheduler>>(
    this: C,
    source: RepositorySource,
    options: LoadOptions & Overrides<InstanceType<C>> & Returning<true> & Config,
  ): Promise<[scheduler: InstanceType<C>, unused: Config]>;
  static fromPretrained<C extends ConfiguredClass<Scheduler>>(
    this: C,
    source: RepositorySource,
    options?: (LoadOptions & Overrides<InstanceType<C>> & Partial<Returning<false>>) | null,
  ): Promise<InstanceType<C>>;
  static async fromPretrained<S extends Scheduler>(
    this: SchedulerClass<S>,
    source: RepositorySource,
    options?: (LoadOptions & Partial<Returning<boolean>>) | null,
  ): Promise<S | [S, Config]> {
    const [config, overrides, returnsUnused] = await readConfig(`${this.className}.fromPretrained`, source, options);
    const made = this.fromConfig(config, { ...overrides, returnUnusedKwargs: true });
    return returnsUnused ? made : made[0];
  }

  /** Classes that can take this scheduler's config, itself included, in diffusers' order. */
  get compatibles(): SchedulerClass[] {
    return this.compatibleClasses as SchedulerClass[];
  }

  /**
   * Prepares a run of `numInferenceSteps` steps; null where `timesteps` or `sigmas` say how many.
   * @throws RangeError for a number of steps, timesteps or sigmas that the schedule cannot have; also for
   *   options that the class does not take; TypeError for options of the wrong type
   */
  abstract setTimesteps(numInferenceSteps: number | null, options?: ScheduleOptions): void;

  /**
   * What the model is to see of `sample` at `timestep`.
   * @returns a tensor of sample's shape, or `sample` itself: dispose it only where it is another
   * @throws Error before setTimesteps, where the schedule matters
   */
  abstract scaleModelInput(sample: Tensor, timestep: number): Tensor;

  /**
   * One step of denoising.
   * @param modelOutput what the model said of `scaleModelInput(sample, timestep)`, of sample's shape (with learned variances twice the
   *   channels)
   * @param sample [batch, channels, height, width]
   * @returns new tensors of sample's shape, which the caller disposes
   * @throws Error before setTimesteps; RangeError for shapes that differ; TypeError for an
   *   option that no scheduler has, or of the wrong type
   */
  abstract step(modelOutput: Tensor, timestep: number, sample: Tensor, options?: StepOptions | null): StepResult;

  /** Frees what is remembered between steps and goes back to the start of the schedule. */
  reset(): void {}
}
