import type { Tensor } from "../tensor/tensor.js";
import { checkScheduleOptions, checkShapes } from "./checks.js";
import { DistilledScheduler } from "./distilled_scheduler.js";
import { Linear } from "./linear.js";
import { drawNoise } from "./noise.js";
import { boundedX0, isBounded, linear, predictX0 } from "./prediction.js";
import type { ScheduleOptions, StepOptions, StepResult } from "./scheduler.js";
import { checkStepOptions } from "./step_options.js";

const SIGMA_DATA = 0.5;

/** Latent consistency models (Luo et al. 2023, arXiv 2310.04378), multistep sampling. diffusers: scheduling_lcm.py */
export class LCMScheduler extends DistilledScheduler {
  static override readonly className: string = "LCMScheduler";

  setTimesteps(numInferenceSteps: number | null, options: ScheduleOptions = {}): void {
    options = checkScheduleOptions(this.className, LCMScheduler.customSchedules, options);
    this.pick(numInferenceSteps, options, this.teacher(options));
  }

  /** Weights of the sample and of x0 in the consistency function, which is the identity at time 0. */
  getScalingsForBoundaryConditionDiscrete(timestep: number): [skip: number, out: number] {
    const scaled = timestep * this.config.timestep_scaling;
    const sum = scaled ** 2 + SIGMA_DATA ** 2;
    return [SIGMA_DATA ** 2 / sum, scaled / Math.sqrt(sum)];
  }

  step(modelOutput: Tensor, timestep: number, sample: Tensor, options?: StepOptions | null): StepResult {
    const { generator } = checkStepOptions(this.className, options);
    const { className, config } = this;
    checkShapes(className, modelOutput, sample);
    const next = this.nextTimestep(this.indexOfStep(timestep)) ?? timestep;
    const alpha = this.alphaAt(timestep);
    const alphaNext = next >= 0 ? this.alphaAt(next) : this.finalAlphaCumprod;
    const [skip, out] = this.getScalingsForBoundaryConditionDiscrete(timestep);
    const result = sample.device.scope(() => {
      const rates = { alpha: Math.sqrt(alpha), sigma: Math.sqrt(1 - alpha), bounded: isBounded(config) };
      const guess = predictX0(className, config.prediction_type, modelOutput, sample, rates);
      const x0 = isBounded(config) ? linear(boundedX0(guess, config)) : guess;
      const denoised = x0.times(out).plus(sample, skip).toTensor();
      const noise = this.isLast ? null : drawNoise(modelOutput, generator);
      const previous = noise
        ? Linear.of(denoised, Math.sqrt(alphaNext)).plus(noise, Math.sqrt(1 - alphaNext))
        : linear(denoised);
      return { prevSample: previous.toTensor(), denoised };
    });
    this.advance();
    return result;
  }
}
