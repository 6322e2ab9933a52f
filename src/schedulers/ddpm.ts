import type { Tensor } from "../tensor/tensor.js";
import { AlphasScheduler } from "./alphas_scheduler.js";
import { BETA_DEFAULTS, type UsualBetaSchedule } from "./betas.js";
import { checkDescending, checkScheduleOptions, countSteps, offSchedule, checkTensors } from "./checks.js";
import type { Choice } from "./config.js";
import { ddpmUpdate, type Variance } from "./ddpm_formulas.js";
import { drawNoise } from "./noise.js";
import type { UsualPrediction } from "./prediction.js";
import { KARRAS_SCHEDULERS, type ScheduleOptions, type StepOptions, type StepResult } from "./scheduler.js";
import { checkStepOptions } from "./step_options.js";
import { spacedTimesteps, type Spacing } from "./spacing.js";

const defaults = {
  ...BETA_DEFAULTS,
  beta_schedule: "linear" as Choice<UsualBetaSchedule | "laplace" | "sigmoid">,
  variance_type: "fixed_small" as Choice<Variance> | null,
  clip_sample: true,
  prediction_type: "epsilon" as Choice<UsualPrediction>,
  thresholding: false,
  dynamic_thresholding_ratio: 0.995,
  clip_sample_range: 1.0,
  sample_max_value: 1.0,
  timestep_spacing: "leading" as Choice<Spacing>,
  steps_offset: 0,
  rescale_betas_zero_snr: false,
};
/** Keys of a DDPMScheduler's config, with diffusers' meaning and defaults. */
export type DDPMConfig = typeof defaults;

/** Denoising diffusion probabilistic models (Ho et al. 2020, arXiv 2006.11239). diffusers: scheduling_ddpm.py */
export class DDPMScheduler extends AlphasScheduler<DDPMConfig> {
  static override readonly className: string = "DDPMScheduler";
  static override readonly defaults = defaults;
  static override readonly compatibleNames = KARRAS_SCHEDULERS;
  static override readonly customSchedules = ["timesteps"] as const;

  constructor(options: Partial<DDPMConfig> = {}) {
    super(options, ["linear", "scaled_linear", "squaredcos_cap_v2", "laplace", "sigmoid"]);
  }

  /** @param options `timesteps` of your own, descending */
  setTimesteps(numInferenceSteps: number | null, options: ScheduleOptions = {}): void {
    const { className, config } = this;
    options = checkScheduleOptions(className, DDPMScheduler.customSchedules, options);
    const { timesteps } = options;
    const n = countSteps(this, numInferenceSteps, timesteps, config.num_train_timesteps);
    if (timesteps) checkDescending(className, timesteps, config.num_train_timesteps);
    this.timesteps = timesteps ? timesteps.map(Math.trunc) : spacedTimesteps(className, config, n);
    this.numInferenceSteps = n;
  }

  /** The timestep after `timestep`: -1 after the last. @throws RangeError for one that is not in the schedule */
  previousTimestep(timestep: number): number {
    if (this.numInferenceSteps === null) return timestep - 1;
    const index = this.timesteps.indexOf(timestep);
    if (index < 0) throw offSchedule(this.className, timestep);
    return this.timesteps[index + 1] ?? -1;
  }

  /** Formulas (6) and (7), with the variance that the config names. */
  step(modelOutput: Tensor, timestep: number, sample: Tensor, options?: StepOptions | null): StepResult {
    const { generator, varianceNoise } = checkStepOptions(this.className, options);
    const { className, config } = this;
    checkTensors(className, modelOutput, sample);
    const previous = this.previousTimestep(timestep);
    const update = {
      alpha: this.alphaAt(timestep),
      alphaPrevious: previous >= 0 ? this.alphaAt(previous) : 1,
      predictionType: config.prediction_type,
      varianceType: config.variance_type,
      clip: config,
      noise: timestep > 0 ? (like: Tensor) => varianceNoise ?? drawNoise(like, generator) : null,
    };
    return sample.device.scope(() => ddpmUpdate(className, update, modelOutput, sample));
  }

  /** What a model of `v_prediction` is to say of the sample that `addNoise` makes. */
  getVelocity(x: Tensor, noise: Tensor, timesteps: number | readonly number[]): Tensor {
    return this.velocity(x, noise, timesteps);
  }
}
