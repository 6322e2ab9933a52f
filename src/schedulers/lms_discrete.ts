import type { Tensor } from "../tensor/tensor.js";
import { BETA_DEFAULTS } from "./betas.js";
import { checkScheduleOptions, checkShapes } from "./checks.js";
import type { Choice } from "./config.js";
import { DiscreteScheduler } from "./discrete_scheduler.js";
import { History } from "./history.js";
import { Linear } from "./linear.js";
import { sigmaPrediction, USUAL_PREDICTIONS, type UsualPrediction } from "./prediction.js";
import { KARRAS_SCHEDULERS, type ScheduleOptions, type StepOptions, type StepResult } from "./scheduler.js";
import { checkStepOptions } from "./step_options.js";
import { checkOrder, derivative, LMS_ORDER, lmsCoefficient, lmsUpdate } from "./sigma_formulas.js";
import type { Spacing } from "./spacing.js";

const defaults = {
  ...BETA_DEFAULTS,
  use_karras_sigmas: false,
  use_exponential_sigmas: false,
  use_beta_sigmas: false,
  prediction_type: "epsilon" as Choice<UsualPrediction>,
  timestep_spacing: "linspace" as Choice<Spacing>,
  steps_offset: 0,
};
/** Keys of a LMSDiscreteScheduler's config, with diffusers' meaning and defaults. */
export type LMSDiscreteConfig = typeof defaults;

/** Linear multistep method over the derivatives (k-diffusion, sample_lms). diffusers: scheduling_lms_discrete.py */
export class LMSDiscreteScheduler extends DiscreteScheduler<LMSDiscreteConfig> {
  static override readonly className: string = "LMSDiscreteScheduler";
  static override readonly defaults = defaults;
  static override readonly compatibleNames = KARRAS_SCHEDULERS;
  readonly #derivatives = new History();

  constructor(options: Partial<LMSDiscreteConfig> = {}) {
    super(options);
    this.setTimesteps(this.config.num_train_timesteps);
  }

  setTimesteps(numInferenceSteps: number | null, options: ScheduleOptions = {}): void {
    options = checkScheduleOptions(this.className, LMSDiscreteScheduler.customSchedules, options);
    const n = this.countSteps(numInferenceSteps, options);
    const { times, levels } = this.spaced(n, undefined, { bounded: false });
    this.begin(n, times.map(Math.fround), [...levels, 0]);
  }

  override reset(): void {
    super.reset();
    this.#derivatives.clear();
  }

  /**
   * The weight of the derivative of `current` steps ago: the integral over the step of the Lagrange polynomial through
   * the last `order` levels.
   * @param index of the step
   */
  getLmsCoefficient(order: number, index: number, current: number): number {
    return lmsCoefficient(this.sigmas, order, index, current);
  }

  /** @param options `order`: how many derivatives to use, 4 unless told */
  step(modelOutput: Tensor, timestep: number, sample: Tensor, options?: StepOptions | null): StepResult {
    const { order = LMS_ORDER } = checkStepOptions(this.className, options);
    const { className, config, sigmas } = this;
    checkShapes(className, modelOutput, sample);
    checkOrder(className, order);
    const index = this.indexOfStep(timestep);
    const sigma = sigmas[index];
    const derivatives = this.#derivatives;
    const result = sample.device.scope(() => {
      const x = Linear.of(sample);
      const x0 = sigmaPrediction(className, config.prediction_type, modelOutput, x, {
        sigma,
        known: USUAL_PREDICTIONS,
      });
      derivatives.push(derivative(x, x0, sigma));
      derivatives.keep(order);
      const prevSample = lmsUpdate({ sigmas, index, order }, x, derivatives.newestFirst).toTensor();
      return { prevSample, predOriginalSample: x0.toTensor() };
    });
    this.advance();
    return result;
  }
}
