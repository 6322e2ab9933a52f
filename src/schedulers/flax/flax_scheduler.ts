/** Stateless schedulers as diffusers' Flax classes: what they know is a config, what changes is a state that they return. */
import type { ConfigObject } from "../../arguments/config_object.js";
import type { RepositorySource } from "../../loader/repository.js";
import type { Config } from "../config.js";
import { ConfiguredScheduler, type ConfiguredClass, type Overrides } from "../configured_scheduler.js";
import { readConfig, type LoadOptions, type Returning } from "../load_config.js";
import type { Tensor } from "../../tensor/tensor.js";

/** What every state has. Frozen plain data. */
export interface FlaxState {
  /** Times that the model is called at, in order. */
  readonly timesteps: readonly number[] | null;
}

/** The class side of a stateless scheduler. */
export interface FlaxSchedulerClass<F extends FlaxScheduler = FlaxScheduler> extends ConfiguredClass<F> {
  fromConfig(config: ConfigObject, overrides: Returning<true> & Config): [scheduler: F, unused: Config];
  fromConfig(config: ConfigObject, overrides?: object): F;
  fromPretrained(
    source: RepositorySource,
    options: LoadOptions & Returning<true> & Config,
  ): Promise<[scheduler: F, state: StateOf<F>, unused: Config]>;
  fromPretrained(
    source: RepositorySource,
    options?: LoadOptions & Record<string, unknown>,
  ): Promise<[scheduler: F, state: StateOf<F>]>;
}

/** The state that a scheduler makes. */
export type StateOf<F> = F extends { createState(): infer S extends FlaxState } ? S : never;

/**
 * Nothing here mutates: every method that changes something returns a new state, and the old one stays good.
 * @typeParam C the config keys of the class
 * @typeParam S its state
 */
export abstract class FlaxScheduler<
  C extends object = object,
  S extends FlaxState = FlaxState,
> extends ConfiguredScheduler<C> {
  readonly hasState = true;

  /**
   * Reads `scheduler_config.json` from a repository, in `subfolder` first, then at the root; the file may be of a stateful
   * class.
   * @returns the scheduler and its first state; with `returnUnusedKwargs` also what `fromConfig` returns so
   * @throws RepositoryError, ConfigError
   */
  static fromPretrained<C extends ConfiguredClass<FlaxScheduler>>(
    this: C,
    source: RepositorySource,
    options: LoadOptions & Overrides<InstanceType<C>> & Returning<true> & Config,
  ): Promise<[scheduler: InstanceType<C>, state: StateOf<InstanceType<C>>, unused: Config]>;
  static fromPretrained<C extends ConfiguredClass<FlaxScheduler>>(
    this: C,
    source: RepositorySource,
    options?: (LoadOptions & Overrides<InstanceType<C>> & Partial<Returning<false>>) | null,
  ): Promise<[scheduler: InstanceType<C>, state: StateOf<InstanceType<C>>]>;
  static async fromPretrained<F extends FlaxScheduler>(
    this: FlaxSchedulerClass<F>,
    source: RepositorySource,
    options?: (LoadOptions & Partial<Returning<boolean>>) | null,
  ): Promise<[F, StateOf<F>] | [F, StateOf<F>, Config]> {
    const [config, overrides, returnsUnused] = await readConfig(`${this.className}.fromPretrained`, source, options);
    const [scheduler, unused] = this.fromConfig(config, { ...overrides, returnUnusedKwargs: true });
    const state = scheduler.createState() as StateOf<F>;
    return returnsUnused ? [scheduler, state, unused] : [scheduler, state];
  }

  /** Classes that can take this scheduler's config, itself included, in diffusers' order. */
  get compatibles(): FlaxSchedulerClass[] {
    return this.compatibleClasses as FlaxSchedulerClass[];
  }

  /** The state before `setTimesteps`. */
  abstract createState(): S;

  /**
   * The state at the start of a run of `numInferenceSteps` steps.
   * @param shape of the samples; taken as in diffusers, but not needed: memory is made by the first step
   */
  abstract setTimesteps(state: S, numInferenceSteps: number, shape?: readonly number[]): S;

  /** What the model is to see of `sample` at `timestep`. May be `sample` itself. */
  scaleModelInput(_state: S, sample: Tensor, _timestep?: number): Tensor {
    return sample;
  }
}
