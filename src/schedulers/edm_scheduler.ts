/** What the EDM schedulers share: levels between sigma_min and sigma_max, and the preconditioning of the model. */
import type { Tensor } from "../tensor/tensor.js";
import { linspace } from "./betas.js";
import { checkEnds } from "./checks.js";
import { oneOf, type Choice } from "./config.js";
import { Linear } from "./linear.js";
import { SigmasScheduler } from "./sigmas_scheduler.js";

export const EDM_DEFAULTS = {
  sigma_min: 0.002,
  sigma_max: 80.0,
  sigma_data: 0.5,
  sigma_schedule: "karras" as Choice<"karras" | "exponential">,
  num_train_timesteps: 1000,
  prediction_type: "epsilon" as Choice<"epsilon" | "v_prediction">,
  rho: 7.0,
  final_sigmas_type: "zero" as Choice<"zero" | "sigma_min">,
};
export type EDMConfig = typeof EDM_DEFAULTS;

const f32 = Math.fround;

export abstract class EDMScheduler<C extends EDMConfig = EDMConfig> extends SigmasScheduler<C> {
  constructor(options: object) {
    super(options);
    checkEnds(this.className, this.config);
  }

  get initNoiseSigma(): number {
    return Math.sqrt(this.config.sigma_max ** 2 + 1);
  }

  /**
   * Levels from the largest to the smallest (Karras et al. 2022, arXiv 2206.00364, formula 5), or evenly in log σ.
   * @param ramp 0 for the largest to 1 for the smallest
   * @param round how diffusers rounds on the way
   */
  protected levelsOf(ramp: ArrayLike<number>, round: (x: number) => number): number[] {
    const { className, config } = this;
    const { sigma_min: min, sigma_max: max, rho } = config;
    if (oneOf(className, "sigma_schedule", config.sigma_schedule, ["karras", "exponential"]) === "exponential")
      return Array.from(linspace(Math.log(min), Math.log(max), ramp.length).map(Math.exp)).reverse();
    const [a, b] = [max ** (1 / rho), min ** (1 / rho)];
    return Array.from(ramp, (r) => f32(round(round(a) + round(r * round(b - a))) ** rho));
  }

  /** Sets levels and times; the level after the last is 0 or `smallest`. */
  protected begin(levels: readonly number[], smallest: number): void {
    const { className, config } = this;
    const final = oneOf(className, "final_sigmas_type", config.final_sigmas_type, ["zero", "sigma_min"]);
    this.sigmas = [...levels, final === "zero" ? 0 : f32(smallest)];
    this.timesteps = levels.map((sigma) => this.preconditionNoise(sigma));
    this.restart();
  }

  /** What the model takes for the time: 0.25 ln σ. */
  preconditionNoise(sigma: number): number {
    return f32(0.25 * f32(Math.log(sigma)));
  }

  /** What the model sees: x / √(σ² + σ_data²). */
  preconditionInputs(sample: Tensor, sigma: number): Tensor {
    return Linear.of(sample, 1 / Math.sqrt(sigma ** 2 + this.config.sigma_data ** 2)).toTensor();
  }

  override scaleModelInput(sample: Tensor, timestep: number): Tensor {
    return this.preconditionInputs(sample, this.sigmaNow(timestep));
  }

  /** x0 from what the model said. */
  preconditionOutputs(sample: Tensor, modelOutput: Tensor, sigma: number): Tensor {
    return this.denoised(Linear.of(sample), modelOutput, sigma).toTensor();
  }

  protected denoised(sample: Linear, modelOutput: Tensor, sigma: number): Linear {
    const { className, config } = this;
    const data = config.sigma_data;
    const type = oneOf(className, "prediction_type", config.prediction_type, ["epsilon", "v_prediction"]);
    const out = (sigma * data) / Math.sqrt(sigma ** 2 + data ** 2);
    return sample.times(data ** 2 / (sigma ** 2 + data ** 2)).plus(modelOutput, type === "epsilon" ? out : -out);
  }
}
