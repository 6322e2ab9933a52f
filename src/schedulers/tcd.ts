import { shown } from "../arguments/shown.js";
import type { Tensor } from "../tensor/tensor.js";
import { checkScheduleOptions, checkShapes, given } from "./checks.js";
import { DistilledScheduler, type Teacher } from "./distilled_scheduler.js";
import { Linear } from "./linear.js";
import { drawNoise } from "./noise.js";
import { linear, predictEpsilon, predictX0 } from "./prediction.js";
import type { ScheduleOptions, StepOptions, StepResult } from "./scheduler.js";
import { checkStepOptions } from "./step_options.js";

const f32 = Math.fround;

/** Trajectory consistency distillation (Zheng et al. 2024, arXiv 2402.19159), strategic stochastic sampling. diffusers: scheduling_tcd.py */
export class TCDScheduler extends DistilledScheduler {
  static override readonly className: string = "TCDScheduler";

  setTimesteps(numInferenceSteps: number | null, options: ScheduleOptions = {}): void {
    options = checkScheduleOptions(this.className, TCDScheduler.customSchedules, options);
    this.pick(numInferenceSteps, options, this.teacher(options));
  }

  /** With `originalInferenceSteps` given, diffusers picks from all training timesteps. */
  protected override teacher(options: ScheduleOptions): Teacher {
    const { originalInferenceSteps: steps, strength = 1 } = options;
    if (!given(steps)) return super.teacher(options);
    const length = Math.floor(this.config.num_train_timesteps * strength);
    return { timesteps: Array.from({ length }, (_, i) => i), steps };
  }

  /** @param options `eta` (gamma in the paper): the part of each step that is left to noise, 0.3 unless told */
  step(modelOutput: Tensor, timestep: number, sample: Tensor, options?: StepOptions | null): StepResult {
    const { eta = 0.3, generator } = checkStepOptions(this.className, options);
    const { className, config } = this;
    checkShapes(className, modelOutput, sample);
    if (!(eta >= 0 && eta <= 1)) throw new RangeError(`${className}.step: eta must be from 0 to 1, got ${shown(eta)}`);
    const next = this.nextTimestep(this.indexOfStep(timestep)) ?? 0;
    const alpha = this.alphaAt(timestep);
    const alphaNext = next >= 0 ? this.alphaAt(next) : this.finalAlphaCumprod;
    const between = this.alphaAt(Math.floor(f32(f32(1 - eta) * next)));
    const rates = { alpha: Math.sqrt(alpha), sigma: Math.sqrt(1 - alpha) };
    const result = sample.device.scope(() => {
      const x0 = predictX0(className, config.prediction_type, modelOutput, sample, rates);
      const epsilon = predictEpsilon(className, config.prediction_type, modelOutput, sample, rates);
      const predNoisedSample = x0
        .times(Math.sqrt(between))
        .plus(epsilon, Math.sqrt(1 - between))
        .toTensor();
      if (eta === 0 || this.isLast) return { prevSample: linear(predNoisedSample).toTensor(), predNoisedSample };
      const ratio = alphaNext / between;
      const noise = drawNoise(modelOutput, generator);
      const previous = Linear.of(predNoisedSample, Math.sqrt(ratio)).plus(noise, Math.sqrt(1 - ratio));
      return { prevSample: previous.toTensor(), predNoisedSample };
    });
    this.advance();
    return result;
  }
}
