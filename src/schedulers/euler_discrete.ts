import type { Tensor } from "../tensor/tensor.js";
import { BETA_DEFAULTS, linspace } from "./betas.js";
import { checkScheduleOptions, checkShapes, checkSteps, given } from "./checks.js";
import { oneOf, type Choice } from "./config.js";
import { DiscreteScheduler } from "./discrete_scheduler.js";
import { Linear } from "./linear.js";
import { drawNoise } from "./noise.js";
import { velocityAt } from "./noising.js";
import { sigmaPrediction } from "./prediction.js";
import { KARRAS_SCHEDULERS, type ScheduleOptions, type StepOptions, type StepResult } from "./scheduler.js";
import { checkStepOptions } from "./step_options.js";
import { eulerUpdate } from "./sigma_formulas.js";
import { sigmaToTimestep } from "./sigmas.js";
import type { Spacing } from "./spacing.js";

const defaults = {
  ...BETA_DEFAULTS,
  prediction_type: "epsilon" as Choice<(typeof PREDICTIONS)[number]>,
  interpolation_type: "linear" as Choice<"linear" | "log_linear">,
  use_karras_sigmas: false as boolean | null,
  use_exponential_sigmas: false as boolean | null,
  use_beta_sigmas: false as boolean | null,
  sigma_min: null as number | null,
  sigma_max: null as number | null,
  timestep_spacing: "linspace" as Choice<Spacing>,
  timestep_type: "discrete" as Choice<"discrete" | "continuous">,
  steps_offset: 0,
  rescale_betas_zero_snr: false,
  final_sigmas_type: "zero" as Choice<"zero" | "sigma_min">,
};
/** Keys of an EulerDiscreteScheduler's config, with diffusers' meaning and defaults. */
export type EulerDiscreteConfig = typeof defaults;
const PREDICTIONS = ["epsilon", "sample", "original_sample", "v_prediction"] as const;

/** Euler's method (Karras et al. 2022, arXiv 2206.00364, algorithm 2). diffusers: scheduling_euler_discrete.py */
export class EulerDiscreteScheduler extends DiscreteScheduler<EulerDiscreteConfig> {
  static override readonly className: string = "EulerDiscreteScheduler";
  static override readonly defaults = defaults;
  static override readonly compatibleNames = KARRAS_SCHEDULERS;
  static override readonly customSchedules = ["timesteps", "sigmas"] as const;

  constructor(options: Partial<EulerDiscreteConfig> = {}) {
    super(options);
    if (this.#isContinuous) this.timesteps = this.sigmas.slice(0, -1).map(continuousTime);
  }

  /** Models of EDM's kind take 0.25 ln σ for the time. */
  get #isContinuous(): boolean {
    return this.config.timestep_type === "continuous" && this.config.prediction_type === "v_prediction";
  }

  /**
   * @param options `timesteps` of your own, or `sigmas`, to whose list the final level belongs (usually 0)
   */
  setTimesteps(numInferenceSteps: number | null, options: ScheduleOptions = {}): void {
    const { className, config } = this;
    options = checkScheduleOptions(className, EulerDiscreteScheduler.customSchedules, options);
    const { timesteps, sigmas } = options;
    if (sigmas && (timesteps || given(numInferenceSteps)))
      throw new RangeError(
        `${className}.setTimesteps: takes the number of steps, timesteps or sigmas, got more than one`,
      );
    const n = sigmas ? checkSteps(this, sigmas.length - 1) : this.countSteps(numInferenceSteps, options);
    if (timesteps && this.#isContinuous)
      throw new RangeError(
        `${className}.setTimesteps: cannot set timesteps with timestep_type "continuous" and v_prediction`,
      );
    const { times, levels } = sigmas ? this.#fromSigmas(sigmas) : this.spaced(n, timesteps);
    if (!sigmas) {
      const final = oneOf(className, "final_sigmas_type", config.final_sigmas_type, ["zero", "sigma_min"]);
      levels.push(final === "zero" ? 0 : this.table[0]);
    }
    const continuous = this.#isContinuous
      ? levels.slice(0, -1).map((sigma) => continuousTime(Math.fround(sigma)))
      : null;
    this.begin(n, (continuous ?? times).map(Math.fround), levels);
  }

  #fromSigmas(sigmas: readonly number[]): { times: number[]; levels: number[] } {
    const times = sigmas.slice(0, -1).map((sigma) => sigmaToTimestep(sigma, this.logTable, { single: true }));
    return { times, levels: [...sigmas] };
  }

  protected override levelsAt(times: readonly number[]): number[] {
    const type = oneOf(this.className, "interpolation_type", this.config.interpolation_type, ["linear", "log_linear"]);
    if (type === "linear") return super.levelsAt(times);
    const ends = [this.logTable[this.logTable.length - 1], this.logTable[0]] as const;
    return Array.from(linspace(...ends, times.length + 1).map(Math.exp));
  }

  /** Algorithm 2 of the paper; `sChurn`, `sTmin`, `sTmax`, `sNoise` add noise on the way. */
  step(modelOutput: Tensor, timestep: number, sample: Tensor, options?: StepOptions | null): StepResult {
    const { className, config, sigmas } = this;
    checkShapes(className, modelOutput, sample);
    const index = this.indexOfStep(timestep);
    const { sChurn = 0, sTmin = 0, sTmax = Infinity, sNoise = 1, generator } = checkStepOptions(className, options);
    const sigma = sigmas[index];
    const churns = sTmin <= sigma && sigma <= sTmax;
    const gamma = churns ? Math.min(sChurn / (sigmas.length - 1), Math.SQRT2 - 1) : 0;
    const sigmaHat = sigma * (gamma + 1);
    const result = sample.device.scope(() => {
      let x = Linear.of(sample);
      if (gamma > 0) x = x.plus(drawNoise(modelOutput, generator), sNoise * Math.sqrt(sigmaHat ** 2 - sigma ** 2));
      const x0 = sigmaPrediction(className, config.prediction_type, modelOutput, x, {
        sigma,
        sigmaHat,
        known: PREDICTIONS,
      });
      const prevSample = eulerUpdate(x, x0, { from: sigmaHat, to: sigmas[index + 1] }).toTensor();
      return { prevSample, predOriginalSample: x0.toTensor() };
    });
    this.advance();
    return result;
  }

  /** What a model of `v_prediction` is to say of the noisy sample; ᾱ is looked up by index of the step, as diffusers does. */
  getVelocity(x: Tensor, noise: Tensor, timesteps: number | readonly number[]): Tensor {
    const alphaAt = (t: number): number => this.alphasCumprod[this.indexForTimestep(t)];
    return velocityAt(`${this.className}.getVelocity`, x, noise, timesteps, alphaAt);
  }
}

const continuousTime = (sigma: number): number => Math.fround(0.25 * Math.fround(Math.log(sigma)));
