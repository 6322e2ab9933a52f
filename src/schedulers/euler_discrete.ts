import type { Tensor } from "../tensor/tensor.js";
import { BETA_DEFAULTS, linspace, makeSchedule } from "./betas.js";
import { checkScheduleOptions, checkShapes, checkSteps } from "./checks.js";
import { oneOf } from "./config.js";
import { Linear } from "./linear.js";
import { drawNoise } from "./noise.js";
import { mixAtTimes } from "./noising.js";
import { sigmaPrediction } from "./prediction.js";
import { KARRAS_SCHEDULERS, type ScheduleOptions, type StepOptions, type StepResult } from "./scheduler.js";
import { interpolate, shapedSigmas, sigmaShape, sigmasOf, sigmaToTimestep } from "./sigmas.js";
import { SigmasScheduler } from "./sigmas_scheduler.js";
import { spacedTimesteps } from "./spacing.js";

const defaults = {
  ...BETA_DEFAULTS,
  prediction_type: "epsilon",
  interpolation_type: "linear",
  use_karras_sigmas: false as boolean | null,
  use_exponential_sigmas: false as boolean | null,
  use_beta_sigmas: false as boolean | null,
  sigma_min: null as number | null,
  sigma_max: null as number | null,
  timestep_spacing: "linspace",
  timestep_type: "discrete",
  steps_offset: 0,
  rescale_betas_zero_snr: false,
  final_sigmas_type: "zero",
};
export type EulerDiscreteConfig = typeof defaults;

/** Euler's method (Karras et al. 2022, arXiv 2206.00364, algorithm 2). diffusers: scheduling_euler_discrete.py */
export class EulerDiscreteScheduler extends SigmasScheduler<EulerDiscreteConfig> {
  static override readonly className: string = "EulerDiscreteScheduler";
  static override readonly defaults = defaults;
  static override readonly compatibleNames = KARRAS_SCHEDULERS;
  static override readonly customSchedules = ["timesteps", "sigmas"] as const;
  readonly betas: Float32Array;
  readonly alphasCumprod: Float32Array;

  constructor(options: Partial<EulerDiscreteConfig> = {}) {
    super(options);
    sigmaShape(this.className, this.config);
    const { betas, alphasCumprod } = makeSchedule(this.className, this.config);
    // With ᾱ = 0 the first level would be infinite; this is near float16's smallest number.
    if (this.config.rescale_betas_zero_snr) alphasCumprod[alphasCumprod.length - 1] = 2 ** -24;
    this.betas = betas;
    this.alphasCumprod = alphasCumprod;
    this.sigmas = [...Array.from(sigmasOf(alphasCumprod)).reverse(), 0];
    this.timesteps = this.#isContinuous
      ? this.sigmas.slice(0, -1).map(continuousTime)
      : Array.from(betas, (_, i) => betas.length - 1 - i);
  }

  /** Models of EDM's kind take 0.25 ln σ for the time. */
  get #isContinuous(): boolean {
    return this.config.timestep_type === "continuous" && this.config.prediction_type === "v_prediction";
  }

  get initNoiseSigma(): number {
    const max = Math.max(...this.sigmas);
    return this.config.timestep_spacing === "leading" ? Math.sqrt(max ** 2 + 1) : max;
  }

  /**
   * @param options `timesteps` of your own, or `sigmas`, to whose list the final level belongs (usually 0)
   */
  setTimesteps(numInferenceSteps: number | null, options: ScheduleOptions = {}): void {
    const { className, config } = this;
    checkScheduleOptions(className, EulerDiscreteScheduler.customSchedules, options);
    const { timesteps, sigmas } = options;
    const given = [numInferenceSteps, timesteps, sigmas].filter((value) => value != null).length;
    if (given !== 1)
      throw new RangeError(`${className}.setTimesteps: takes the number of steps, timesteps or sigmas, got ${given} of them`);
    const shape = sigmaShape(className, config);
    if (timesteps && shape) throw new RangeError(`${className}.setTimesteps: cannot set timesteps with use_${shape}_sigmas`);
    if (timesteps && this.#isContinuous)
      throw new RangeError(`${className}.setTimesteps: cannot set timesteps with timestep_type "continuous" and v_prediction`);
    const n = checkSteps(className, numInferenceSteps ?? timesteps?.length ?? (sigmas?.length ?? 0) - 1);
    const logSigmas = sigmasOf(this.alphasCumprod).map(Math.log);

    const levels = sigmas ? sigmas.map(Math.fround) : this.#levels(n, timesteps);
    let times: number[];
    if (this.#isContinuous) times = levels.slice(0, -1).map(continuousTime);
    else if (sigmas || shape) times = levels.slice(0, -1).map((sigma) => sigmaToTimestep(sigma, logSigmas));
    else times = timesteps ? [...timesteps] : spacedTimesteps(className, config, n, { rounded: false });
    this.timesteps = times.map(Math.fround);
    this.sigmas = levels.map(Math.fround);
    this.numInferenceSteps = n;
    this.restart();
  }

  /** Levels at the timesteps, with the final one; in double precision. */
  #levels(n: number, timesteps?: readonly number[]): number[] {
    const { className, config } = this;
    const times = timesteps?.map(Math.fround) ?? spacedTimesteps(className, config, n, { rounded: false });
    const table = sigmasOf(this.alphasCumprod);
    const shape = sigmaShape(className, config);
    const final = oneOf(className, "final_sigmas_type", config.final_sigmas_type, ["zero", "sigma_min"]);
    let levels: ArrayLike<number>;
    if (oneOf(className, "interpolation_type", config.interpolation_type, ["linear", "log_linear"]) === "linear")
      levels = times.map((t) => interpolate(table, t));
    else levels = linspace(Math.log(table[table.length - 1]), Math.log(table[0]), n + 1).map(Math.exp);
    if (shape) levels = shapedSigmas(shape, config, levels, n);
    return [...Array.from(levels), final === "zero" ? 0 : table[0]];
  }

  /** Algorithm 2 of the paper; `sChurn`, `sTmin`, `sTmax`, `sNoise` add noise on the way. */
  step(modelOutput: Tensor, timestep: number, sample: Tensor, options: StepOptions = {}): StepResult {
    const { className, config, sigmas } = this;
    checkShapes(className, modelOutput, sample);
    const index = this.indexOfStep(timestep);
    const { sChurn = 0, sTmin = 0, sTmax = Infinity, sNoise = 1, generator } = options;
    const sigma = sigmas[index];
    const churns = sTmin <= sigma && sigma <= sTmax;
    const gamma = churns ? Math.min(sChurn / (sigmas.length - 1), Math.SQRT2 - 1) : 0;
    const sigmaHat = sigma * (gamma + 1);
    const result = sample.device.scope(() => {
      let x = Linear.of(sample);
      if (gamma > 0) x = x.plus(drawNoise(modelOutput, generator), sNoise * Math.sqrt(sigmaHat ** 2 - sigma ** 2));
      const x0 = sigmaPrediction(className, config.prediction_type, modelOutput, x, { sigma, sigmaHat });
      const derivative = x.minus(x0).times(1 / sigmaHat);
      const prevSample = x.plus(derivative, sigmas[index + 1] - sigmaHat).toTensor();
      return { prevSample, predOriginalSample: x0.toTensor() };
    });
    this.advance();
    return result;
  }

  /** What a model of `v_prediction` is to say of the noisy sample; ᾱ is looked up by index of the step, as diffusers does. */
  getVelocity(x: Tensor, noise: Tensor, timesteps: number | readonly number[]): Tensor {
    return mixAtTimes(`${this.className}.getVelocity`, x, noise, timesteps, (t) => {
      const alpha = this.alphasCumprod[this.indexForTimestep(t)];
      return [-Math.sqrt(1 - alpha), Math.sqrt(alpha)];
    });
  }
}

const continuousTime = (sigma: number): number => Math.fround(0.25 * Math.log(sigma));
