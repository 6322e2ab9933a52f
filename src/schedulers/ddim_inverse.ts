import type { Tensor } from "../tensor/tensor.js";
import { AlphasScheduler } from "./alphas_scheduler.js";
import { BETA_DEFAULTS } from "./betas.js";
import { checkScheduleOptions, checkShapes, checkSteps } from "./checks.js";
import type { Choice } from "./config.js";
import { boundedX0, isBounded, linear, predictEpsilon, predictX0, type UsualPrediction } from "./prediction.js";
import type { ScheduleOptions, StepOptions, StepResult } from "./scheduler.js";
import { checkStepOptions } from "./step_options.js";
import { spacedTimesteps } from "./spacing.js";

const defaults = {
  ...BETA_DEFAULTS,
  clip_sample: true,
  set_alpha_to_one: true,
  steps_offset: 0,
  prediction_type: "epsilon" as Choice<UsualPrediction>,
  clip_sample_range: 1.0,
  timestep_spacing: "leading" as Choice<"leading" | "trailing">,
  rescale_betas_zero_snr: false,
};
/** Keys of a DDIMInverseScheduler's config, with diffusers' meaning and defaults. */
export type DDIMInverseConfig = typeof defaults;

/** DDIM from a picture to its noise (Song et al. 2020, arXiv 2010.02502, section 4.3). diffusers: scheduling_ddim_inverse.py */
export class DDIMInverseScheduler extends AlphasScheduler<DDIMInverseConfig> {
  static override readonly className: string = "DDIMInverseScheduler";
  static override readonly defaults = defaults;
  static override readonly deprecatedKeys = { set_alpha_to_zero: "set_alpha_to_one" };
  /** ᾱ of the picture, which comes before the first step. */
  readonly initialAlphaCumprod: number;

  constructor(options: Partial<DDIMInverseConfig> & { set_alpha_to_zero?: boolean } = {}) {
    super(options);
    this.initialAlphaCumprod = this.config.set_alpha_to_one ? 1 : this.alphasCumprod[0];
    this.timesteps.reverse();
  }

  setTimesteps(numInferenceSteps: number | null, options: ScheduleOptions = {}): void {
    const { className, config } = this;
    checkScheduleOptions(className, DDIMInverseScheduler.customSchedules, options);
    const n = checkSteps(this, numInferenceSteps, config.num_train_timesteps);
    this.timesteps = spacedTimesteps(className, config, n, { known: ["leading", "trailing"] }).reverse();
    this.numInferenceSteps = n;
  }

  /** One step towards the noise: `prevSample` is the sample at `timestep`, noisier than the one given. */
  step(modelOutput: Tensor, timestep: number, sample: Tensor, options?: StepOptions | null): StepResult {
    checkStepOptions(this.className, options);
    const { className, config } = this;
    const n = this.stepsSet;
    checkShapes(className, modelOutput, sample);
    const train = config.num_train_timesteps;
    const present = Math.min(timestep - Math.floor(train / n), train - 1);
    const alpha = present >= 0 ? this.alphaAt(present) : this.initialAlphaCumprod;
    const next = this.alphaAt(timestep);
    const rates = { alpha: Math.sqrt(alpha), sigma: Math.sqrt(1 - alpha), bounded: config.clip_sample };
    return sample.device.scope(() => {
      const x0 = predictX0(className, config.prediction_type, modelOutput, sample, rates);
      const bounds = { clip_sample: config.clip_sample, clip_sample_range: config.clip_sample_range };
      const predOriginalSample = boundedX0(x0, bounds);
      const used = isBounded(bounds) ? linear(predOriginalSample) : x0;
      const epsilon = predictEpsilon(className, config.prediction_type, modelOutput, sample, rates);
      const prevSample = used
        .times(Math.sqrt(next))
        .plus(epsilon, Math.sqrt(1 - next))
        .toTensor();
      return { prevSample, predOriginalSample };
    });
  }
}
