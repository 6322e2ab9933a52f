import { shown } from "../arguments/shown.js";
import type { Tensor } from "../tensor/tensor.js";
import { checkScheduleOptions, checkShapes } from "./checks.js";
import { SHIFTED_FLOW_DEFAULTS, ShiftedFlowScheduler } from "./flow_scheduler.js";
import { Linear } from "./linear.js";
import { drawNoise } from "./noise.js";
import type { ScheduleOptions, StepOptions, StepResult } from "./scheduler.js";
import { checkStepOptions } from "./step_options.js";

const defaults = { ...SHIFTED_FLOW_DEFAULTS, scale_factors: null as readonly number[] | null, upscale_mode: "bicubic" };
/** Keys of a FlowMatchLCMScheduler's config, with diffusers' meaning and defaults. */
export type FlowMatchLCMConfig = typeof defaults;

/** Multistep sampling of consistency-distilled flow models (Luo et al. 2023, arXiv 2310.04378). diffusers: scheduling_flow_match_lcm.py */
export class FlowMatchLCMScheduler extends ShiftedFlowScheduler<FlowMatchLCMConfig> {
  static override readonly className: string = "FlowMatchLCMScheduler";
  static override readonly defaults = defaults;

  constructor(options: Partial<FlowMatchLCMConfig> = {}) {
    super(options);
    const { scale_factors } = this.config;
    if (scale_factors && scale_factors.length > 0)
      throw new RangeError(
        `${this.className}: scale_factors (growing pictures) are not supported, got ${shown(scale_factors)}`,
      );
  }

  setTimesteps(numInferenceSteps: number | null, options: ScheduleOptions = {}): void {
    options = checkScheduleOptions(this.className, FlowMatchLCMScheduler.customSchedules, options);
    this.prepare(numInferenceSteps, options);
  }

  step(modelOutput: Tensor, timestep: number, sample: Tensor, options?: StepOptions | null): StepResult {
    const { generator, varianceNoise } = checkStepOptions(this.className, options);
    checkShapes(this.className, modelOutput, sample);
    const index = this.indexOfStep(timestep);
    const [sigma, next] = [this.sigmas[index], this.sigmas[index + 1]];
    const result = sample.device.scope(() => {
      const x0 = Linear.of(sample).plus(modelOutput, -sigma);
      const noise = varianceNoise ?? drawNoise(sample, generator, "float32");
      return {
        prevSample: x0
          .times(1 - next)
          .plus(noise, next)
          .toTensor(),
      };
    });
    this.advance();
    return result;
  }
}
