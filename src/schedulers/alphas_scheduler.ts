/** Base of the schedulers that live on the training timesteps and their ᾱ (DDPM, DDIM, PNDM, …). */
import type { Tensor } from "../tensor/tensor.js";
import { makeSchedule, type ScheduleConfig, type BetaSchedule } from "./betas.js";
import { at, checkSet } from "./checks.js";
import { noisyAt, velocityAt } from "./noising.js";
import { Scheduler } from "./scheduler.js";

export abstract class AlphasScheduler<C extends ScheduleConfig = ScheduleConfig> extends Scheduler<C> {
  /** Variances added per training step, float32. */
  readonly betas: Float32Array;
  /** ᾱ: the part of the signal's variance left at each training step, float32. */
  readonly alphasCumprod: Float32Array;
  readonly initNoiseSigma: number = 1;

  constructor(options: object, knownBetas?: readonly BetaSchedule[]) {
    super(options);
    const { betas, alphasCumprod } = makeSchedule(this.className, this.config, knownBetas);
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
