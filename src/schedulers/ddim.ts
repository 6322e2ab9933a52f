import type { Tensor } from "../tensor/tensor.js";
import { AlphasScheduler } from "./alphas_scheduler.js";
import { BETA_DEFAULTS } from "./betas.js";
import { checkScheduleOptions, checkShapes, checkSteps } from "./checks.js";
import type { Choice } from "./config.js";
import { ddimUpdate } from "./ddim_formulas.js";
import { drawNoise } from "./noise.js";
import type { UsualPrediction } from "./prediction.js";
import { KARRAS_SCHEDULERS, type ScheduleOptions, type StepOptions, type StepResult } from "./scheduler.js";
import { checkStepOptions } from "./step_options.js";
import { spacedTimesteps, type Spacing } from "./spacing.js";

const defaults = {
  ...BETA_DEFAULTS,
  clip_sample: true,
  set_alpha_to_one: true,
  steps_offset: 0,
  prediction_type: "epsilon" as Choice<UsualPrediction>,
  thresholding: false,
  dynamic_thresholding_ratio: 0.995,
  clip_sample_range: 1.0,
  sample_max_value: 1.0,
  timestep_spacing: "leading" as Choice<Spacing>,
  rescale_betas_zero_snr: false,
};
/** Keys of a DDIMScheduler's config, with diffusers' meaning and defaults. */
export type DDIMConfig = typeof defaults;

/** Denoising diffusion implicit models (Song et al. 2020, arXiv 2010.02502). diffusers: scheduling_ddim.py */
export class DDIMScheduler extends AlphasScheduler<DDIMConfig> {
  static override readonly className: string = "DDIMScheduler";
  static override readonly defaults = defaults;
  static override readonly compatibleNames = KARRAS_SCHEDULERS;
  /** ᾱ of the step that comes after the last. */
  readonly finalAlphaCumprod: number;

  constructor(options: Partial<DDIMConfig> = {}) {
    super(options);
    this.finalAlphaCumprod = this.config.set_alpha_to_one ? 1 : this.alphasCumprod[0];
  }

  setTimesteps(numInferenceSteps: number | null, options: ScheduleOptions = {}): void {
    checkScheduleOptions(this.className, DDIMScheduler.customSchedules, options);
    const n = checkSteps(this, numInferenceSteps, this.config.num_train_timesteps);
    this.timesteps = spacedTimesteps(this.className, this.config, n);
    this.numInferenceSteps = n;
  }

  /** Formulas (12) and (16) of the paper; with eta = 1 this is DDPM. */
  step(modelOutput: Tensor, timestep: number, sample: Tensor, options?: StepOptions | null): StepResult {
    const { config, className } = this;
    const n = this.stepsSet;
    checkShapes(className, modelOutput, sample);
    const { eta = 0, useClippedModelOutput = false, generator, varianceNoise } = checkStepOptions(className, options);
    if (eta > 0 && generator && varianceNoise)
      throw new Error(`${className}.step: takes generator or varianceNoise, got both`);
    const previous = timestep - Math.floor(config.num_train_timesteps / n);
    const update = {
      alpha: this.alphaAt(timestep),
      alphaPrevious: previous >= 0 ? this.alphaAt(previous) : this.finalAlphaCumprod,
      predictionType: config.prediction_type,
      clip: config,
      eta,
      useClippedModelOutput,
      noise: () => varianceNoise ?? drawNoise(modelOutput, generator),
    };
    return sample.device.scope(() => ddimUpdate(className, update, modelOutput, sample));
  }

  /** What a model of `v_prediction` is to say of the sample that `addNoise` makes. */
  getVelocity(x: Tensor, noise: Tensor, timesteps: number | readonly number[]): Tensor {
    return this.velocity(x, noise, timesteps);
  }
}
