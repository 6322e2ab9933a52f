import type { Tensor } from "../tensor/tensor.js";
import { AlphasScheduler } from "./alphas_scheduler.js";
import { checkScheduleOptions, checkSteps } from "./checks.js";
import { COGVIDEOX_DEFAULTS, cogVideoXSchedule, type CogVideoXConfig } from "./cogvideox_formulas.js";
import type { Linear } from "./linear.js";
import { predictX0 } from "./prediction.js";
import { KARRAS_SCHEDULERS, type ScheduleOptions } from "./scheduler.js";
import { spacedTimesteps } from "./spacing.js";

/** Base of the schedulers of CogVideoX. */
export abstract class CogVideoXScheduler extends AlphasScheduler<CogVideoXConfig, Float32Array | Float64Array> {
  static override readonly defaults = COGVIDEOX_DEFAULTS;
  static override readonly compatibleNames = KARRAS_SCHEDULERS;
  /** ᾱ of the step that comes after the last. */
  readonly finalAlphaCumprod: number;

  constructor(options: Partial<CogVideoXConfig> = {}) {
    super(options, undefined, cogVideoXSchedule);
    this.finalAlphaCumprod = this.config.set_alpha_to_one ? 1 : this.alphasCumprod[0];
  }

  setTimesteps(numInferenceSteps: number | null, options: ScheduleOptions = {}): void {
    checkScheduleOptions(this.className, [], options);
    const n = checkSteps(this, numInferenceSteps, this.config.num_train_timesteps);
    this.timesteps = spacedTimesteps(this.className, this.config, n);
    this.numInferenceSteps = n;
  }

  /** ᾱ at a training timestep and at the one that a step leads to; `isLast` where that lies beyond the schedule. */
  protected alphasAt(timestep: number): { alpha: number; alphaPrevious: number; isLast: boolean } {
    const previous = timestep - Math.floor(this.config.num_train_timesteps / this.stepsSet);
    const isLast = !(previous >= 0);
    const alphaPrevious = isLast ? this.finalAlphaCumprod : this.alphaAt(previous);
    return { alpha: this.alphaAt(timestep), alphaPrevious, isLast };
  }

  /** What a model of `v_prediction` is to say of the sample that `addNoise` makes. */
  getVelocity(x: Tensor, noise: Tensor, timesteps: number | readonly number[]): Tensor {
    return this.velocity(x, noise, timesteps);
  }

  protected x0(modelOutput: Tensor, sample: Tensor, alpha: number): Linear {
    const rates = { alpha: Math.sqrt(alpha), sigma: Math.sqrt(1 - alpha) };
    return predictX0(this.className, this.config.prediction_type, modelOutput, sample, rates);
  }
}
