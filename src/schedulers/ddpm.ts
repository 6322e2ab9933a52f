import { learnedNoise } from "../tensor/ops/learned_noise.js";
import { slice } from "../tensor/ops/copy.js";
import type { Tensor } from "../tensor/tensor.js";
import { AlphasScheduler } from "./alphas_scheduler.js";
import { BETA_DEFAULTS } from "./betas.js";
import { checkDescending, checkScheduleOptions, checkShapes, countSteps } from "./checks.js";
import { oneOf } from "./config.js";
import { drawNoise } from "./noise.js";
import type { Linear } from "./linear.js";
import { boundedX0, isBounded, linear, predictX0 } from "./prediction.js";
import { KARRAS_SCHEDULERS, type ScheduleOptions, type StepOptions, type StepResult } from "./scheduler.js";
import { spacedTimesteps } from "./spacing.js";

const defaults = {
  ...BETA_DEFAULTS,
  variance_type: "fixed_small",
  clip_sample: true,
  prediction_type: "epsilon",
  thresholding: false,
  dynamic_thresholding_ratio: 0.995,
  clip_sample_range: 1.0,
  sample_max_value: 1.0,
  timestep_spacing: "leading",
  steps_offset: 0,
  rescale_betas_zero_snr: false,
};
export type DDPMConfig = typeof defaults;

const VARIANCES = [
  "fixed_small",
  "fixed_small_log",
  "fixed_large",
  "fixed_large_log",
  "learned",
  "learned_range",
] as const;

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
    checkScheduleOptions(className, DDPMScheduler.customSchedules, options);
    const { timesteps } = options;
    const n = countSteps(className, numInferenceSteps, timesteps, config.num_train_timesteps);
    if (timesteps) checkDescending(className, timesteps, config.num_train_timesteps);
    this.timesteps = timesteps ? timesteps.map(Math.trunc) : spacedTimesteps(className, config, n);
    this.numInferenceSteps = n;
  }

  /** The timestep after `timestep`: -1 after the last. */
  previousTimestep(timestep: number): number {
    if (this.numInferenceSteps === null) return timestep - 1;
    return this.timesteps[this.timesteps.indexOf(timestep) + 1] ?? -1;
  }

  /** Formulas (6) and (7), with the variance that the config names. */
  step(
    modelOutput: Tensor,
    timestep: number,
    sample: Tensor,
    { generator, varianceNoise }: StepOptions = {},
  ): StepResult {
    const { className, config } = this;
    this.checkTimestep(timestep);
    const previous = this.previousTimestep(timestep);
    const alpha = this.alphaAt(timestep);
    const alphaPrevious = previous >= 0 ? this.alphaAt(previous) : 1;
    const ratio = alpha / alphaPrevious;
    const beta = 1 - ratio;
    const rates = { alpha: Math.sqrt(alpha), sigma: Math.sqrt(1 - alpha), bounded: isBounded(config) };

    return sample.device.scope(() => {
      const [mean, learned] = this.#split(modelOutput, sample);
      checkShapes(className, mean, sample);
      const x0 = predictX0(className, config.prediction_type, mean, sample, rates);
      const predOriginalSample = boundedX0(x0, config);
      const used = isBounded(config) ? linear(predOriginalSample) : x0;
      const x = used
        .times((Math.sqrt(alphaPrevious) * beta) / (1 - alpha))
        .plus(sample, (Math.sqrt(ratio) * (1 - alphaPrevious)) / (1 - alpha));
      if (timestep <= 0) return { prevSample: x.toTensor(), predOriginalSample };
      const noise = varianceNoise ?? drawNoise(mean, generator);
      const smallest = Math.max(((1 - alphaPrevious) / (1 - alpha)) * beta, 1e-20);
      return { prevSample: this.#addVariance(x, noise, learned, smallest, beta), predOriginalSample };
    });
  }

  /** A model of learned variances has them in the second half of its channels. */
  #split(modelOutput: Tensor, sample: Tensor): [mean: Tensor, variance: Tensor | null] {
    const channels = sample.shape[1];
    const learns = this.config.variance_type === "learned" || this.config.variance_type === "learned_range";
    if (!learns || modelOutput.shape[1] !== 2 * channels) return [modelOutput, null];
    return [slice(modelOutput, 1, 0, channels), slice(modelOutput, 1, channels, channels)];
  }

  /** @param smallest the variance of the posterior, `largest` that of the forward step */
  #addVariance(x: Linear, noise: Tensor, learned: Tensor | null, smallest: number, largest: number): Tensor {
    const { className, config } = this;
    const type = oneOf(className, "variance_type", config.variance_type, VARIANCES);
    switch (type) {
      case "fixed_small":
      case "fixed_small_log":
        return x.plus(noise, Math.sqrt(smallest)).toTensor();
      case "fixed_large":
        return x.plus(noise, Math.sqrt(largest)).toTensor();
      case "learned_range": {
        if (!learned)
          throw new RangeError(`${className}.step: variance_type "learned_range" needs twice the sample's channels`);
        // ln σ = ½ (f ln β + (1 - f) ln β̃) for f = (v + 1) / 2.
        const [low, high] = [Math.log(smallest), Math.log(largest)];
        const scaled = learnedNoise(noise, learned, { offset: (high + low) / 4, slope: (high - low) / 4 });
        return x.plus(scaled).toTensor();
      }
      // diffusers takes the square root of a logarithm, or of the model's raw output: both give NaN.
      case "fixed_large_log":
      case "learned":
        throw new RangeError(
          `${className}: variance_type "${type}" has no finite result in diffusers; use "fixed_large" or "learned_range"`,
        );
    }
  }

  /** What a model of `v_prediction` is to say of the sample that `addNoise` makes. */
  getVelocity(x: Tensor, noise: Tensor, timesteps: number | readonly number[]): Tensor {
    return this.velocity(x, noise, timesteps);
  }
}
