/** What the schedulers of consistency-distilled models share (LCM, TCD): few steps, picked from the teacher's. */
import { shown } from "../arguments/shown.js";
import type { Tensor } from "../tensor/tensor.js";
import { BETA_DEFAULTS, makeSchedule, type UsualBetaSchedule } from "./betas.js";
import { at, checkDescending, checkSet, countSteps } from "./checks.js";
import type { Choice } from "./config.js";
import { IndexedScheduler } from "./indexed_scheduler.js";
import { noisyAt, velocityAt } from "./noising.js";
import type { UsualPrediction } from "./prediction.js";
import type { ScheduleOptions } from "./scheduler.js";
import type { Spacing } from "./spacing.js";

const DISTILLED_DEFAULTS = {
  ...BETA_DEFAULTS,
  beta_start: 0.00085,
  beta_end: 0.012,
  beta_schedule: "scaled_linear" as Choice<UsualBetaSchedule>,
  original_inference_steps: 50,
  clip_sample: false,
  clip_sample_range: 1.0,
  set_alpha_to_one: true,
  steps_offset: 0,
  prediction_type: "epsilon" as Choice<UsualPrediction>,
  thresholding: false,
  dynamic_thresholding_ratio: 0.995,
  sample_max_value: 1.0,
  timestep_spacing: "leading" as Choice<Spacing>,
  timestep_scaling: 10.0,
  rescale_betas_zero_snr: false,
};
export type DistilledConfig = typeof DISTILLED_DEFAULTS;

/** A schedule to pick from: `teacher` ascending, with the number of the teacher's steps. */
export interface Teacher {
  timesteps: number[];
  steps: number;
}

export abstract class DistilledScheduler extends IndexedScheduler<DistilledConfig> {
  static override readonly defaults = DISTILLED_DEFAULTS;
  static override readonly customSchedules = ["timesteps", "originalInferenceSteps", "strength"] as const;
  readonly betas: Float32Array;
  readonly alphasCumprod: Float32Array;
  readonly finalAlphaCumprod: number;
  readonly initNoiseSigma = 1;

  constructor(options: Partial<DistilledConfig> = {}) {
    super(options);
    const { betas, alphasCumprod } = makeSchedule(this.className, this.config);
    this.betas = betas;
    this.alphasCumprod = alphasCumprod;
    this.finalAlphaCumprod = this.config.set_alpha_to_one ? 1 : alphasCumprod[0];
    this.timesteps = Array.from(betas, (_, i) => betas.length - 1 - i);
  }

  protected alphaAt(timestep: number): number {
    return at(this.className, this.alphasCumprod, timestep);
  }

  /** The last `strength` of the teacher's steps: every k-th training timestep, ascending. */
  protected teacher(options: ScheduleOptions): Teacher {
    const { originalInferenceSteps, strength = 1 } = options;
    const { num_train_timesteps: train, original_inference_steps } = this.config;
    const steps = originalInferenceSteps ?? original_inference_steps;
    if (!Number.isInteger(steps) || steps < 1 || steps > train)
      throw new RangeError(
        `${this.className}.setTimesteps: original_inference_steps must be from 1 to num_train_timesteps, ${train}, got ${shown(steps)}`,
      );
    const stride = Math.floor(train / steps);
    return { timesteps: Array.from({ length: Math.floor(steps * strength) }, (_, i) => (i + 1) * stride - 1), steps };
  }

  /**
   * @param options `timesteps` of your own, descending; `originalInferenceSteps` instead of the config's; `strength`, the
   *   part of the schedule to run
   */
  protected pick(
    numInferenceSteps: number | null,
    options: ScheduleOptions,
    { timesteps: from, steps }: Teacher,
  ): void {
    const { className, config } = this;
    const { timesteps, strength = 1 } = options;
    const n = countSteps(this, numInferenceSteps, timesteps, config.num_train_timesteps);
    if (timesteps) {
      this.#checkCustom(timesteps, strength, from, steps);
      this.timesteps = timesteps.slice(Math.max(n - Math.min(Math.floor(n * strength), n), 0));
    } else {
      if (n > from.length || n > steps)
        throw new RangeError(
          `${className}.setTimesteps: ${n} steps are more than original_inference_steps x strength, ${steps} x ${strength}; ` +
            "take fewer steps, or raise original_inference_steps",
        );
      const stride = from.length / n;
      this.timesteps = Array.from({ length: n }, (_, i) => from[from.length - 1 - Math.floor(i * stride)]);
    }
    this.numInferenceSteps = n;
    this.restart();
  }

  #checkCustom(timesteps: readonly number[], strength: number, teacher: readonly number[], steps: number): void {
    const { className, config } = this;
    const last = config.num_train_timesteps - 1;
    checkDescending(className, timesteps, last + 1);
    const foreign = timesteps.slice(1).filter((t) => !teacher.includes(t));
    const doubts = [
      strength === 1 && timesteps[0] !== last && `the first timestep is ${timesteps[0]}, not ${last}`,
      foreign.length > 0 && `the model was not distilled at the timesteps ${foreign.join(", ")}`,
      timesteps.length > steps && `${timesteps.length} timesteps are more than the ${steps} of the distillation`,
    ].filter((doubt) => doubt !== false);
    if (doubts.length > 0)
      console.warn(`${className}.setTimesteps: the result may be unexpected: ${doubts.join("; ")}`);
  }

  /** As diffusers' classes these go on after the last step, where the caller names the timestep. */
  protected override indexOfStep(timestep: number): number {
    checkSet(this.className, this.numInferenceSteps);
    return this.currentIndex(timestep);
  }

  /** The timestep after `index`, or null after the last. */
  protected nextTimestep(index: number): number | null {
    return this.timesteps[index + 1] ?? null;
  }

  protected get isLast(): boolean {
    return this.stepIndex === (this.numInferenceSteps ?? 0) - 1;
  }

  /** The sample itself: these models see it unscaled. */
  scaleModelInput(sample: Tensor, _timestep?: number): Tensor {
    return sample;
  }

  /** √ᾱ x + √(1 - ᾱ) noise: the forward process, at training timesteps. */
  addNoise(x: Tensor, noise: Tensor, timesteps: number | readonly number[]): Tensor {
    return noisyAt(`${this.className}.addNoise`, x, noise, timesteps, (t) => this.alphaAt(t));
  }

  /** √ᾱ noise - √(1 - ᾱ) x: what a model of `v_prediction` learns. */
  getVelocity(x: Tensor, noise: Tensor, timesteps: number | readonly number[]): Tensor {
    return velocityAt(`${this.className}.getVelocity`, x, noise, timesteps, (t) => this.alphaAt(t));
  }
}
