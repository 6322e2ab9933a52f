/** Base of the schedulers that live on the training timesteps and their ᾱ (DDPM, DDIM, PNDM, …). */
import type { Tensor } from "../tensor/tensor.js";
import { makeSchedule, type BetaSchedule, type Schedule, type ScheduleConfig } from "./betas.js";
import { at, checkSet } from "./checks.js";
import { noisyAt, velocityAt } from "./noising.js";
import { Scheduler } from "./scheduler.js";

type Make<C, Numbers> = (className: string, config: C, known?: readonly BetaSchedule[]) => Schedule<Numbers>;

/** @typeParam Numbers of the schedule, float32 but where a class makes its own */
export abstract class AlphasScheduler<
  C extends ScheduleConfig = ScheduleConfig,
  Numbers extends Float32Array | Float64Array = Float32Array,
> extends Scheduler<C> {
  /** Variances added per training step. */
  readonly betas: Numbers;
  /** ᾱ: the part of the signal's variance left at each training step. */
  readonly alphasCumprod: Numbers;
  readonly initNoiseSigma: number = 1;

  /**
   * @param knownBetas the values of `beta_schedule` that the class has
   * @param make how the class makes its schedule, where not as most do
   */
  constructor(
    options: object,
    knownBetas?: readonly BetaSchedule[],
    make: Make<C, Numbers> = makeSchedule as unknown as Make<C, Numbers>, // left out only where Numbers are
  ) {
    super(options);
    const { betas, alphasCumprod } = make(this.className, this.config, knownBetas);
    this.betas = betas;
    this.alphasCumprod = alphasCumprod;
    this.timesteps = Array.from(betas, (_, i) => betas.length - 1 - i);
  }

  /** ᾱ at a training timestep. */
  protected alphaAt(timestep: number): number {
    return at(this.className, this.alphasCumprod, timestep);
  }

  /** The steps set by `setTimesteps`: where a step leads depends on them, and not on whether it begins on the schedule. */
  protected get stepsSet(): number {
    return checkSet(this.className, this.numInferenceSteps);
  }

  /** The sample itself: these models see it unscaled. */
  scaleModelInput(sample: Tensor, _timestep?: number): Tensor {
    return sample;
  }

  /**
   * √ᾱ x + √(1 - ᾱ) noise: the forward process.
   * @param timesteps training timesteps, one for all samples or one per sample
   */
  addNoise(x: Tensor, noise: Tensor, timesteps: number | readonly number[]): Tensor {
    return noisyAt(`${this.className}.addNoise`, x, noise, timesteps, (t) => this.alphaAt(t));
  }

  /** √ᾱ noise - √(1 - ᾱ) x: what a model of `v_prediction` learns (Salimans & Ho 2022). */
  protected velocity(x: Tensor, noise: Tensor, timesteps: number | readonly number[]): Tensor {
    return velocityAt(`${this.className}.getVelocity`, x, noise, timesteps, (t) => this.alphaAt(t));
  }
}
