import { roundHalfEven } from "../tensor/round.js";
import type { Tensor } from "../tensor/tensor.js";
import { BETA_DEFAULTS } from "./betas.js";
import { at, checkScheduleOptions, checkShapes, checkSteps, checkTensors } from "./checks.js";
import { oneOf, type Choice } from "./config.js";
import type { Variance } from "./ddpm_formulas.js";
import { History, Slot } from "./history.js";
import { Linear } from "./linear.js";
import { drawNoise } from "./noise.js";
import { noisyAt } from "./noising.js";
import type { Prediction } from "./prediction.js";
import { adamsWeights } from "./sasolver_formulas.js";
import { KARRAS_SCHEDULERS, type ScheduleOptions, type StepOptions, type StepResult } from "./scheduler.js";
import { checkStepOptions } from "./step_options.js";
import { SolverScheduler } from "./solver_scheduler.js";
import type { Spacing } from "./spacing.js";

const defaults = {
  ...BETA_DEFAULTS,
  predictor_order: 2,
  corrector_order: 2,
  prediction_type: "epsilon" as Choice<Prediction>,
  tau_func: null as ((timestep: number) => number) | null,
  thresholding: false,
  dynamic_thresholding_ratio: 0.995,
  sample_max_value: 1.0,
  algorithm_type: "data_prediction" as Choice<"data_prediction" | "noise_prediction">,
  lower_order_final: true,
  use_karras_sigmas: false,
  use_exponential_sigmas: false,
  use_beta_sigmas: false,
  use_flow_sigmas: false,
  flow_shift: 1.0,
  lambda_min_clipped: -Infinity,
  variance_type: null as Choice<Variance> | null,
  timestep_spacing: "linspace" as Choice<Spacing>,
  steps_offset: 0,
};
/** Keys of a SASolverScheduler's config, with diffusers' meaning and defaults. */
export type SASolverConfig = typeof defaults;

/** Noise in the middle of the schedule only. */
const usualTau = (timestep: number): number => (timestep >= 200 && timestep <= 800 ? 1 : 0);

/** Stochastic Adams predictor and corrector (Xue et al. 2023, arXiv 2309.05019). diffusers: scheduling_sasolver.py */
export class SASolverScheduler extends SolverScheduler<SASolverConfig> {
  static override readonly className: string = "SASolverScheduler";
  static override readonly defaults = defaults;
  static override readonly compatibleNames = KARRAS_SCHEDULERS;
  readonly #capacity = Math.max(this.config.predictor_order, this.config.corrector_order - 1);
  readonly #outputs = new History(this.#capacity);
  readonly #lastSample = new Slot();
  readonly #lastNoise = new Slot();
  #lastTimestep = 0;
  #correctorOrder = 1;

  /** @param options `tau_func`: the amount of noise at a timestep, 1 from 200 to 800 and else 0 unless told */
  constructor(options: Partial<SASolverConfig> = {}) {
    super(options);
    const { className, config } = this;
    oneOf(className, "algorithm_type", config.algorithm_type, ["data_prediction", "noise_prediction"]);
    for (const key of ["predictor_order", "corrector_order"] as const)
      if (![1, 2, 3, 4].includes(config[key]))
        throw new RangeError(`${className}: ${key} must be from 1 to 4, got ${config[key]}`);
  }

  setTimesteps(numInferenceSteps: number | null, options: ScheduleOptions = {}): void {
    const { className, config } = this;
    checkScheduleOptions(className, SASolverScheduler.customSchedules, options);
    const n = checkSteps(this, numInferenceSteps);
    const shaped = this.shaped(n) ?? (config.use_flow_sigmas ? this.flow(n, config.flow_shift) : null);
    if (shaped) {
      const times = config.use_karras_sigmas ? shaped.times.map(roundHalfEven) : shaped.times;
      this.begin(times, [...shaped.levels, shaped.levels[shaped.levels.length - 1]]);
      return;
    }
    const times = this.spacedBelow(config, n, this.clippedLength(config.lambda_min_clipped));
    this.begin(times, [...this.levelsAt(times), this.table[0]]);
  }

  override reset(): void {
    super.reset();
    for (const memory of [this.#outputs, this.#lastSample, this.#lastNoise]) memory.clear();
  }

  get #predictsData(): boolean {
    return this.config.algorithm_type === "data_prediction";
  }

  #tau(timestep: number): number {
    return (this.config.tau_func ?? usualTau)(timestep);
  }

  step(modelOutput: Tensor, timestep: number, sample: Tensor, options?: StepOptions | null): StepResult {
    const { generator, varianceNoise } = checkStepOptions(this.className, options);
    const { className, config } = this;
    checkTensors(className, modelOutput, sample);
    const index = this.indexOfStep(timestep);
    const [lastSample, lastNoise] = [this.#lastSample.value, this.#lastNoise.value];
    const result = sample.device.scope(() => {
      const mean = this.meanOf(modelOutput, sample);
      checkShapes(className, mean, sample);
      const output = (this.#predictsData ? this.x0(mean, sample, index) : this.epsilon(mean, sample, index)).toTensor();
      const corrected =
        index > 0 && lastSample && lastNoise ? this.#correct(index, output, lastSample, lastNoise).toTensor() : sample;
      const remembered = this.#outputs.length;
      this.#outputs.adopt(output);
      this.#lastTimestep = timestep;
      const left = config.lower_order_final ? this.timesteps.length - index : Infinity;
      const order = Math.min(config.predictor_order, left, remembered + 1);
      this.#correctorOrder = Math.min(config.corrector_order, left + 1, remembered + 2);
      const x = this.#lastSample.set(corrected);
      const noise = this.#lastNoise.set(varianceNoise ?? drawNoise(mean, generator));
      return { prevSample: this.#predict(index, order, x, noise).toTensor() };
    });
    this.advance();
    return result;
  }

  /** Adams-Bashforth: from the present level to the next. */
  #predict(index: number, order: number, x: Tensor, noise: Tensor): Linear {
    const tau = this.#tau(this.#lastTimestep);
    const outputs = Array.from({ length: order }, (_, k) => this.#outputs.at(-1 - k));
    return this.#adams({ to: index + 1, newest: index, outputs, tau, correcting: false }, x, noise);
  }

  /** Adams-Moulton: the step that led to the present level again, now that the model's output there is known. */
  #correct(index: number, output: Tensor, x: Tensor, noise: Tensor): Linear {
    const tau = this.#tau(this.#lastTimestep);
    const outputs = [output, ...Array.from({ length: this.#correctorOrder - 1 }, (_, k) => this.#outputs.at(-1 - k))];
    return this.#adams({ to: index, newest: index, outputs, tau, correcting: true }, x, noise);
  }

  /** @param step `newest`: the index of the level of `outputs[0]`; the others are of the levels before it */
  #adams(
    step: { to: number; newest: number; outputs: readonly Tensor[]; tau: number; correcting: boolean },
    x: Tensor,
    noise: Tensor,
  ): Linear {
    const { to, newest, outputs, tau, correcting } = step;
    const [end, start] = [this.level(to), this.level(to - 1)];
    const h = end.lambda - start.lambda;
    const nodes = outputs.map((_, k) => this.level(newest - k).lambda);
    const data = this.#predictsData;
    const weights = adamsWeights(nodes, start.lambda, end.lambda, data ? tau : null);
    const c = 1 + tau ** 2;
    if (data && outputs.length === 2) {
      // A correction of second order that the paper's code makes.
      const rest = (h * c - 1 + Math.exp(-c * h)) / c ** 2;
      const gap = correcting ? h : start.lambda - this.level(to - 2).lambda;
      const correction = (Math.exp(c * end.lambda) * (h ** 2 / 2 - rest)) / gap;
      weights[0] += correction;
      weights[1] -= correction;
    }
    const scale = data ? c * end.sigma * Math.exp(-(tau ** 2) * end.lambda) : -c * end.alpha;
    const spread = data ? Math.sqrt(-Math.expm1(-2 * tau ** 2 * h)) : tau * Math.sqrt(Math.expm1(2 * h));
    const keep = data ? Math.exp(-(tau ** 2) * h) * (end.sigma / start.sigma) : end.alpha / start.alpha;
    return outputs.reduce(
      (sum, output, k) => sum.plus(output, scale * weights[k]),
      Linear.of(x, keep).plus(noise, end.sigma * spread),
    );
  }

  /** √ᾱ x + √(1 - ᾱ) noise: the forward process, at training timesteps. */
  override addNoise(x: Tensor, noise: Tensor, timesteps: number | readonly number[]): Tensor {
    const { className, alphasCumprod } = this;
    return noisyAt(`${className}.addNoise`, x, noise, timesteps, (t) => at(className, alphasCumprod, t));
  }
}
