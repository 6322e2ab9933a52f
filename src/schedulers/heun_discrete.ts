import type { Tensor } from "../tensor/tensor.js";
import { BETA_DEFAULTS, type UsualBetaSchedule } from "./betas.js";
import { checkScheduleOptions, checkShapes } from "./checks.js";
import type { Choice } from "./config.js";
import { DiscreteScheduler } from "./discrete_scheduler.js";
import { Slot } from "./history.js";
import { Linear } from "./linear.js";
import {
  boundedX0,
  isBounded,
  linear,
  sigmaPrediction,
  USUAL_PREDICTIONS,
  type UsualPrediction,
} from "./prediction.js";
import { KARRAS_SCHEDULERS, type ScheduleOptions, type StepOptions, type StepResult } from "./scheduler.js";
import { checkStepOptions } from "./step_options.js";
import type { Spacing } from "./spacing.js";

const defaults = {
  ...BETA_DEFAULTS,
  beta_schedule: "linear" as Choice<UsualBetaSchedule | "exp">,
  beta_start: 0.00085,
  beta_end: 0.012,
  prediction_type: "epsilon" as Choice<UsualPrediction>,
  use_karras_sigmas: false,
  use_exponential_sigmas: false,
  use_beta_sigmas: false,
  clip_sample: false,
  clip_sample_range: 1.0,
  timestep_spacing: "linspace" as Choice<Spacing>,
  steps_offset: 0,
};
/** Keys of a HeunDiscreteScheduler's config, with diffusers' meaning and defaults. */
export type HeunDiscreteConfig = typeof defaults;

/** All but the first twice: the second call of a step is at the same level as the first of the next. */
export const twice = <T>([first, ...rest]: readonly T[]): T[] => [first, ...rest.flatMap((x) => [x, x])];

/** Heun's method (Karras et al. 2022, arXiv 2206.00364, algorithm 1). diffusers: scheduling_heun_discrete.py */
export class HeunDiscreteScheduler extends DiscreteScheduler<HeunDiscreteConfig> {
  static override readonly className: string = "HeunDiscreteScheduler";
  static override readonly defaults = defaults;
  static override readonly compatibleNames = KARRAS_SCHEDULERS;
  static override readonly customSchedules = ["timesteps"] as const;
  override readonly order = 2;
  /** Sample and derivative of the first half of a step, while the second is due. */
  readonly #start = new Slot();
  readonly #derivative = new Slot();

  constructor(options: Partial<HeunDiscreteConfig> = {}) {
    super(options, ["linear", "scaled_linear", "squaredcos_cap_v2", "exp"]);
    this.setTimesteps(this.config.num_train_timesteps);
  }

  /** n steps run the model 2n - 1 times. */
  setTimesteps(numInferenceSteps: number | null, options: ScheduleOptions = {}): void {
    options = checkScheduleOptions(this.className, HeunDiscreteScheduler.customSchedules, options);
    const n = this.countSteps(numInferenceSteps, options);
    const { times, levels } = this.spaced(n, options.timesteps);
    this.begin(n, twice(times.map(Math.fround)), [...twice(levels), 0]);
  }

  override reset(): void {
    super.reset();
    this.#start.clear();
    this.#derivative.clear();
  }

  /** Whether the next step is the first half of Heun's. */
  get stateInFirstOrder(): boolean {
    return this.#start.value === null;
  }

  step(modelOutput: Tensor, timestep: number, sample: Tensor, options?: StepOptions | null): StepResult {
    checkStepOptions(this.className, options);
    const { className, config, sigmas } = this;
    checkShapes(className, modelOutput, sample);
    const index = this.indexOfStep(timestep);
    const [start, first] = [this.#start.value, this.#derivative.value];
    const [sigma, next] = start ? [sigmas[index - 1], sigmas[index]] : [sigmas[index], sigmas[index + 1]];
    const level = start ? next : sigma;
    const result = sample.device.scope(() => {
      const x = Linear.of(sample);
      const guess = sigmaPrediction(className, config.prediction_type, modelOutput, x, {
        sigma: level,
        known: USUAL_PREDICTIONS,
      });
      const predOriginalSample = boundedX0(guess, {
        clip_sample: config.clip_sample,
        clip_sample_range: config.clip_sample_range,
      });
      const x0 = isBounded({ clip_sample: config.clip_sample }) ? linear(predOriginalSample) : guess;
      const derivative = x.minus(x0).times(1 / level);
      if (start && first) {
        const mean = derivative.plus(first).times(0.5);
        return {
          prevSample: mean
            .times(next - sigma)
            .plus(start)
            .toTensor(),
          predOriginalSample,
        };
      }
      this.#start.set(sample);
      this.#derivative.set(derivative);
      return { prevSample: x.plus(derivative, next - sigma).toTensor(), predOriginalSample };
    });
    if (start) {
      this.#start.clear();
      this.#derivative.clear();
    }
    this.advance();
    return result;
  }
}
