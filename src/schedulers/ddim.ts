import type { Tensor } from "../tensor/tensor.js";
import { AlphasScheduler } from "./alphas_scheduler.js";
import { BETA_DEFAULTS } from "./betas.js";
import { checkScheduleOptions, checkShapes, checkSteps } from "./checks.js";
import { drawNoise } from "./noise.js";
import { boundedX0, isBounded, linear, predictEpsilon, predictX0 } from "./prediction.js";
import { KARRAS_SCHEDULERS, type ScheduleOptions, type StepOptions, type StepResult } from "./scheduler.js";
import { spacedTimesteps } from "./spacing.js";

const defaults = {
  ...BETA_DEFAULTS,
  clip_sample: true,
  set_alpha_to_one: true,
  steps_offset: 0,
  prediction_type: "epsilon",
  thresholding: false,
  dynamic_thresholding_ratio: 0.995,
  clip_sample_range: 1.0,
  sample_max_value: 1.0,
  timestep_spacing: "leading",
  rescale_betas_zero_snr: false,
};
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
    const n = checkSteps(this.className, numInferenceSteps, this.config.num_train_timesteps);
    this.timesteps = spacedTimesteps(this.className, this.config, n);
    this.numInferenceSteps = n;
  }

  /** Formulas (12) and (16) of the paper; with eta = 1 this is DDPM. */
  step(modelOutput: Tensor, timestep: number, sample: Tensor, options: StepOptions = {}): StepResult {
    const { config, className } = this;
    const n = this.checkTimestep(timestep);
    checkShapes(className, modelOutput, sample);
    const { eta = 0, useClippedModelOutput = false, generator, varianceNoise } = options;
    if (eta > 0 && generator && varianceNoise)
      throw new Error(`${className}.step: takes generator or varianceNoise, got both`);
    const previous = timestep - Math.floor(config.num_train_timesteps / n);
    const alpha = this.alphaAt(timestep);
    const alphaPrevious = previous >= 0 ? this.alphaAt(previous) : this.finalAlphaCumprod;
    const variance = ((1 - alphaPrevious) / (1 - alpha)) * (1 - alpha / alphaPrevious);
    const std = eta * Math.sqrt(variance);
    const rates = { alpha: Math.sqrt(alpha), sigma: Math.sqrt(1 - alpha), bounded: isBounded(config) };

    return sample.device.scope(() => {
      const x0 = predictX0(className, config.prediction_type, modelOutput, sample, rates);
      const predOriginalSample = boundedX0(x0, config);
      const used = isBounded(config) ? linear(predOriginalSample) : x0;
      const epsilon = useClippedModelOutput
        ? linear(sample)
            .plus(used, -rates.alpha)
            .times(1 / rates.sigma)
        : predictEpsilon(className, config.prediction_type, modelOutput, sample, rates);
      let previousSample = used
        .times(Math.sqrt(alphaPrevious))
        .plus(epsilon, Math.sqrt(Math.max(0, 1 - alphaPrevious - std ** 2)));
      if (eta > 0) previousSample = previousSample.plus(varianceNoise ?? drawNoise(modelOutput, generator), std);
      return { prevSample: previousSample.toTensor(), predOriginalSample };
    });
  }

  /** What a model of `v_prediction` is to say of the sample that `addNoise` makes. */
  getVelocity(x: Tensor, noise: Tensor, timesteps: number | readonly number[]): Tensor {
    return this.velocity(x, noise, timesteps);
  }
}
