import type { Tensor } from "../tensor/tensor.js";
import { BETA_DEFAULTS } from "./betas.js";
import { checkScheduleOptions, checkShapes } from "./checks.js";
import { DiscreteScheduler } from "./discrete_scheduler.js";
import { History } from "./history.js";
import { Linear } from "./linear.js";
import { sigmaPrediction, USUAL_PREDICTIONS } from "./prediction.js";
import { KARRAS_SCHEDULERS, type ScheduleOptions, type StepOptions, type StepResult } from "./scheduler.js";

const defaults = {
  ...BETA_DEFAULTS,
  use_karras_sigmas: false,
  use_exponential_sigmas: false,
  use_beta_sigmas: false,
  prediction_type: "epsilon",
  timestep_spacing: "linspace",
  steps_offset: 0,
};
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
    this.numInferenceSteps = null;
  }

  setTimesteps(numInferenceSteps: number | null, options: ScheduleOptions = {}): void {
    checkScheduleOptions(this.className, LMSDiscreteScheduler.customSchedules, options);
    const n = this.countSteps(numInferenceSteps, options);
    const { times, levels } = this.spaced(n);
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
    const { sigmas } = this;
    const start = sigmas[index];
    // Coefficients of the polynomial in σ - start, lowest first.
    let polynomial = [1];
    for (let k = 0; k < order; k++) {
      if (k === current) continue;
      const root = sigmas[index - k] - start;
      const scale = 1 / (sigmas[index - current] - sigmas[index - k]);
      const shifted = [0, ...polynomial];
      polynomial = shifted.map((c, i) => (c - root * (polynomial[i] ?? 0)) * scale);
    }
    const h = sigmas[index + 1] - start;
    return polynomial.reduceRight((sum, c, i) => (sum + c / (i + 1)) * h, 0);
  }

  /** @param options `order`: how many derivatives to use, 4 unless told */
  step(modelOutput: Tensor, timestep: number, sample: Tensor, { order = 4 }: StepOptions = {}): StepResult {
    const { className, config, sigmas } = this;
    checkShapes(className, modelOutput, sample);
    if (!Number.isInteger(order) || order < 1)
      throw new RangeError(`${className}.step: order must be a whole number of at least 1, got ${order}`);
    const index = this.indexOfStep(timestep);
    const sigma = sigmas[index];
    const used = Math.min(index + 1, order);
    const derivatives = this.#derivatives;
    const result = sample.device.scope(() => {
      const x = Linear.of(sample);
      const x0 = sigmaPrediction(className, config.prediction_type, modelOutput, x, {
        sigma,
        known: USUAL_PREDICTIONS,
      });
      derivatives.push(x.minus(x0).times(1 / sigma));
      derivatives.keep(order);
      let previous = x;
      // A run that began in the middle has fewer derivatives than its index says.
      for (let k = 0; k < Math.min(used, derivatives.length); k++)
        previous = previous.plus(derivatives.at(-1 - k), this.getLmsCoefficient(used, index, k));
      return { prevSample: previous.toTensor(), predOriginalSample: x0.toTensor() };
    });
    this.advance();
    return result;
  }
}
