import { learnedNoise } from "../tensor/ops/learned_noise.js";
import { slice } from "../tensor/ops/copy.js";
import { roundHalfEven } from "../tensor/round.js";
import type { Tensor } from "../tensor/tensor.js";
import { AlphasScheduler } from "./alphas_scheduler.js";
import { at, checkScheduleOptions, checkShapes, checkSteps, checkTensors } from "./checks.js";
import { oneOf, type Choice } from "./config.js";
import { drawNoise } from "./noise.js";
import { boundedX0, isBounded, linear, predictX0 } from "./prediction.js";
import type { ScheduleOptions, StepOptions, StepResult } from "./scheduler.js";
import { checkStepOptions } from "./step_options.js";

const defaults = {
  num_train_timesteps: 1000,
  variance_type: "fixed_small_log" as Choice<"fixed_small_log" | "learned_range">,
  clip_sample: true,
  clip_sample_range: 1.0,
  prediction_type: "epsilon" as Choice<"epsilon" | "sample">,
  beta_schedule: "squaredcos_cap_v2" as Choice<"squaredcos_cap_v2">,
};
const f32 = Math.fround;
/** Keys of a UnCLIPScheduler's config, with diffusers' meaning and defaults. */
export type UnCLIPConfig = typeof defaults;

/** DDPM as unCLIP runs it (Ramesh et al. 2022, arXiv 2204.06125). diffusers: scheduling_unclip.py */
export class UnCLIPScheduler extends AlphasScheduler<UnCLIPConfig> {
  static override readonly className: string = "UnCLIPScheduler";
  static override readonly defaults = defaults;

  constructor(options: Partial<UnCLIPConfig> = {}) {
    super(options, ["squaredcos_cap_v2"]);
  }

  setTimesteps(numInferenceSteps: number | null, options: ScheduleOptions = {}): void {
    checkScheduleOptions(this.className, UnCLIPScheduler.customSchedules, options);
    const n = checkSteps(this, numInferenceSteps);
    if (n < 2) throw new RangeError(`${this.className}.setTimesteps: needs at least 2 steps, got ${n}`);
    const ratio = (this.config.num_train_timesteps - 1) / (n - 1);
    this.timesteps = Array.from({ length: n }, (_, i) => roundHalfEven(i * ratio)).reverse();
    this.numInferenceSteps = n;
  }

  /** @param options `prevTimestep`: the timestep that follows, `timestep - 1` unless told */
  step(modelOutput: Tensor, timestep: number, sample: Tensor, options?: StepOptions | null): StepResult {
    const { className, config } = this;
    checkTensors(className, modelOutput, sample);
    const { prevTimestep, generator, varianceNoise } = checkStepOptions(className, options);
    const previous = prevTimestep ?? timestep - 1;
    const alpha = this.alphaAt(timestep);
    const alphaPrevious = previous >= 0 ? this.alphaAt(previous) : 1;
    // In float32 as in diffusers: at the noisy end 1 - beta is all rounding, and the sample is scaled by it.
    const beta = previous === timestep - 1 ? at(className, this.betas, timestep) : f32(1 - f32(alpha / alphaPrevious));
    const rates = { alpha: Math.sqrt(alpha), sigma: Math.sqrt(1 - alpha), known: ["epsilon", "sample"] as const };
    return sample.device.scope(() => {
      const [mean, learned] = this.#split(modelOutput, sample);
      checkShapes(className, mean, sample);
      const bounds = { clip_sample: config.clip_sample, clip_sample_range: config.clip_sample_range };
      const guess = predictX0(className, config.prediction_type, mean, sample, rates);
      const predOriginalSample = boundedX0(guess, bounds);
      const x = (isBounded(bounds) ? linear(predOriginalSample) : guess)
        .times((Math.sqrt(alphaPrevious) * beta) / (1 - alpha))
        .plus(sample, (Math.sqrt(f32(1 - beta)) * (1 - alphaPrevious)) / (1 - alpha));
      if (timestep <= 0) return { prevSample: x.toTensor(), predOriginalSample };
      const noise = varianceNoise ?? drawNoise(mean, generator);
      const variance = ((1 - alphaPrevious) / (1 - alpha)) * beta;
      if (!learned)
        return { prevSample: x.plus(noise, Math.sqrt(Math.max(variance, 1e-20))).toTensor(), predOriginalSample };
      const [low, high] = [Math.log(variance), Math.log(beta)];
      const scaled = learnedNoise(noise, learned, { offset: (high + low) / 4, slope: (high - low) / 4 });
      return { prevSample: x.plus(scaled).toTensor(), predOriginalSample };
    });
  }

  /** A model of learned variances has them in the second half of its channels. */
  #split(modelOutput: Tensor, sample: Tensor): [mean: Tensor, variance: Tensor | null] {
    const { className, config } = this;
    const type = oneOf(className, "variance_type", config.variance_type, ["fixed_small_log", "learned_range"]);
    const channels = sample.shape[1];
    if (type === "fixed_small_log") return [modelOutput, null];
    if (modelOutput.shape[1] !== 2 * channels)
      throw new RangeError(
        `${className}.step: variance_type "learned_range" needs twice the sample's ${channels} channels, got ${modelOutput.shape[1]}`,
      );
    return [slice(modelOutput, 1, 0, channels), slice(modelOutput, 1, channels, channels)];
  }
}
