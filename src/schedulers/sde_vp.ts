import type { Tensor } from "../tensor/tensor.js";
import { linspace } from "./betas.js";
import { checkScheduleOptions, checkSet, checkShapes, checkSteps, offSchedule } from "./checks.js";
import { Linear } from "./linear.js";
import { drawNoise } from "./noise.js";
import { Scheduler, type ScheduleOptions, type StepOptions, type StepResult } from "./scheduler.js";
import { checkStepOptions, type GivenStepOptions } from "./step_options.js";

const defaults = { num_train_timesteps: 2000, beta_min: 0.1, beta_max: 20, sampling_eps: 1e-3 };
/** Keys of a ScoreSdeVpScheduler's config, with diffusers' meaning and defaults. */
export type ScoreSdeVpConfig = typeof defaults;

const f32 = Math.fround;

/** Variance-preserving SDE, stepped backwards (Song et al. 2021, arXiv 2011.13456). diffusers: deprecated/scheduling_sde_vp.py */
export class ScoreSdeVpScheduler extends Scheduler<ScoreSdeVpConfig> {
  static override readonly className: string = "ScoreSdeVpScheduler";
  static override readonly defaults = defaults;
  /** diffusers' class has none; its prior has unit variance. */
  readonly initNoiseSigma = 1;

  constructor(options: Partial<ScoreSdeVpConfig> = {}) {
    super(options);
  }

  /** Times from 1 down to `sampling_eps`. */
  setTimesteps(numInferenceSteps: number | null, options: ScheduleOptions = {}): void {
    checkScheduleOptions(this.className, ScoreSdeVpScheduler.customSchedules, options);
    const n = checkSteps(this, numInferenceSteps);
    this.timesteps = Array.from(linspace(1, this.config.sampling_eps, n));
    this.numInferenceSteps = n;
  }

  /** The sample itself. */
  scaleModelInput(sample: Tensor, _timestep?: number): Tensor {
    return sample;
  }

  /** `stepPred` in the order of other schedulers' steps. */
  step(modelOutput: Tensor, timestep: number, sample: Tensor, options?: StepOptions | null): StepResult {
    return this.#predict(modelOutput, sample, timestep, checkStepOptions(this.className, options));
  }

  /**
   * Reverse diffusion over one of the `timesteps.length` parts of time.
   * @param score what the model said of x: the score times minus the noise's standard deviation
   * @param t any time above 0 and up to 1
   * @returns also `prevSampleMean`, which is without the noise
   */
  stepPred(score: Tensor, x: Tensor, t: number, options?: StepOptions | null): StepResult {
    return this.#predict(score, x, t, checkStepOptions(this.className, options, "stepPred"));
  }

  #predict(score: Tensor, x: Tensor, time: number, { generator, varianceNoise }: GivenStepOptions): StepResult {
    const { className, config } = this;
    const n = checkSet(className, this.numInferenceSteps);
    checkShapes(className, score, x);
    if (!Number.isFinite(time)) throw offSchedule(className, time);
    const t = f32(time);
    const range = f32(config.beta_max - config.beta_min);
    // In float32 as in diffusers: at the clean end 1 - exp() is all rounding.
    const logMean = f32(f32(f32(-0.25 * f32(t * t)) * range) - f32(f32(0.5 * t) * f32(config.beta_min)));
    const std = f32(Math.sqrt(f32(1 - f32(Math.exp(2 * logMean)))));
    const beta = f32(f32(config.beta_min) + f32(t * range));
    if (!(std > 0 && beta >= 0))
      throw new RangeError(`${className}.step: timesteps must lie above 0 and up to 1, got ${time}`);
    return x.device.scope(() => {
      const mean = Linear.of(x, 1 + (0.5 * beta) / n).plus(score, -beta / (std * n));
      const noise = varianceNoise ?? drawNoise(x, generator);
      return { prevSample: mean.plus(noise, Math.sqrt(beta / n)).toTensor(), prevSampleMean: mean.toTensor() };
    });
  }
}
