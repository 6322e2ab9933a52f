import type { Tensor } from "../tensor/tensor.js";
import {
  checkDescending,
  checkEnds,
  checkScheduleOptions,
  checkShapes,
  checkTrainTimesteps,
  countSteps,
} from "./checks.js";
import { Linear } from "./linear.js";
import { drawNoise } from "./noise.js";
import type { ScheduleOptions, StepOptions, StepResult } from "./scheduler.js";
import { checkStepOptions } from "./step_options.js";
import { SigmasScheduler } from "./sigmas_scheduler.js";

const defaults = {
  num_train_timesteps: 40,
  sigma_min: 0.002,
  sigma_max: 80.0,
  sigma_data: 0.5,
  s_noise: 1.0,
  rho: 7.0,
  clip_denoised: true,
};
/** Keys of a CMStochasticIterativeScheduler's config, with diffusers' meaning and defaults. */
export type CMStochasticIterativeConfig = typeof defaults;

/** Multistep sampling of consistency models (Song et al. 2023, arXiv 2303.01469, algorithm 1). diffusers: scheduling_consistency_models.py */
export class CMStochasticIterativeScheduler extends SigmasScheduler<CMStochasticIterativeConfig> {
  static override readonly className: string = "CMStochasticIterativeScheduler";
  static override readonly defaults = defaults;
  static override readonly customSchedules = ["timesteps"] as const;

  constructor(options: Partial<CMStochasticIterativeConfig> = {}) {
    super(options);
    checkEnds(this.className, this.config);
    const train = checkTrainTimesteps(this.className, this.config.num_train_timesteps);
    this.#begin(Array.from({ length: train }, (_, i) => i));
  }

  get initNoiseSigma(): number {
    return this.config.sigma_max;
  }

  /** @param options `timesteps`: indices into the `num_train_timesteps` levels, descending */
  setTimesteps(numInferenceSteps: number | null, options: ScheduleOptions = {}): void {
    const { className, config } = this;
    options = checkScheduleOptions(className, CMStochasticIterativeScheduler.customSchedules, options);
    const { timesteps } = options;
    const train = config.num_train_timesteps;
    const n = countSteps(this, numInferenceSteps, timesteps, train);
    if (timesteps) checkDescending(className, timesteps, train);
    this.#begin(
      timesteps ? timesteps.map(Math.trunc).reverse() : Array.from({ length: n }, (_, i) => i * Math.floor(train / n)),
    );
    this.numInferenceSteps = n;
  }

  /** @param indices into the training levels, ascending */
  #begin(indices: readonly number[]): void {
    const { sigma_min: min, sigma_max: max, rho, num_train_timesteps: train } = this.config;
    const [a, b] = [max ** (1 / rho), min ** (1 / rho)];
    const levels = indices.map((i) => (a + (i / Math.max(1, train - 1)) * (b - a)) ** rho);
    this.timesteps = levels.map((sigma) => this.sigmaToT(sigma));
    this.sigmas = [...levels, min].map(Math.fround);
    this.restart();
  }

  /** What the model takes for the time. */
  sigmaToT(sigma: number): number {
    return 250 * Math.log(sigma + 1e-44);
  }

  override scaleModelInput(sample: Tensor, timestep: number): Tensor {
    const sigma = this.sigmaNow(timestep);
    return Linear.of(sample, 1 / Math.sqrt(sigma ** 2 + this.config.sigma_data ** 2)).toTensor();
  }

  /** Weights of the sample and of the model's output in the consistency function, which is the identity at sigma_min. */
  getScalingsForBoundaryCondition(sigma: number): [skip: number, out: number] {
    const { sigma_min: min, sigma_data: data } = this.config;
    return [data ** 2 / ((sigma - min) ** 2 + data ** 2), ((sigma - min) * data) / Math.sqrt(sigma ** 2 + data ** 2)];
  }

  step(modelOutput: Tensor, timestep: number, sample: Tensor, options?: StepOptions | null): StepResult {
    const { generator, varianceNoise } = checkStepOptions(this.className, options);
    checkShapes(this.className, modelOutput, sample);
    const index = this.indexOfStep(timestep);
    const { sigma_min: min, sigma_max: max, s_noise, clip_denoised } = this.config;
    const [skip, out] = this.getScalingsForBoundaryCondition(this.sigmas[index]);
    const hat = Math.min(max, Math.max(min, this.sigmas[index + 1]));
    const result = sample.device.scope(() => {
      const guess = Linear.of(sample, skip).plus(modelOutput, out);
      const denoised = clip_denoised ? Linear.of(guess.toTensor({ clamp: [-1, 1] })) : guess;
      if (this.timesteps.length === 1) return { prevSample: denoised.toTensor() };
      const noise = varianceNoise ?? drawNoise(modelOutput, generator);
      return { prevSample: denoised.plus(noise, s_noise * Math.sqrt(Math.max(0, hat ** 2 - min ** 2))).toTensor() };
    });
    this.advance();
    return result;
  }
}
