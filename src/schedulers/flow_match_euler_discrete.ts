import type { Tensor } from "../tensor/tensor.js";
import { checkScheduleOptions, checkShapes } from "./checks.js";
import { SHIFTED_FLOW_DEFAULTS, ShiftedFlowScheduler } from "./flow_scheduler.js";
import { Linear } from "./linear.js";
import { drawNoise } from "./noise.js";
import type { ScheduleOptions, StepOptions, StepResult } from "./scheduler.js";

const defaults = { ...SHIFTED_FLOW_DEFAULTS, stochastic_sampling: false };
export type FlowMatchEulerDiscreteConfig = typeof defaults;

/** Euler's method for rectified flow (Esser et al. 2024, arXiv 2403.03206). diffusers: scheduling_flow_match_euler_discrete.py */
export class FlowMatchEulerDiscreteScheduler extends ShiftedFlowScheduler<FlowMatchEulerDiscreteConfig> {
  static override readonly className: string = "FlowMatchEulerDiscreteScheduler";
  static override readonly defaults = defaults;

  constructor(options: Partial<FlowMatchEulerDiscreteConfig> = {}) {
    super(options);
  }

  setTimesteps(numInferenceSteps: number | null, options: ScheduleOptions = {}): void {
    options = checkScheduleOptions(this.className, FlowMatchEulerDiscreteScheduler.customSchedules, options);
    if (options.timesteps && !options.sigmas)
      console.warn(
        "`timesteps` were passed without `sigmas`. The timesteps are used as given, while the sigmas derived from them go " +
          "through the scheduler's shifting, so the two may not be consistent. Pass `sigmas` to get a shifted schedule, or " +
          "pass both `sigmas` and `timesteps` to control them separately.",
      );
    this.prepare(numInferenceSteps, options);
  }

  step(
    modelOutput: Tensor,
    timestep: number,
    sample: Tensor,
    { generator, varianceNoise }: StepOptions = {},
  ): StepResult {
    checkShapes(this.className, modelOutput, sample);
    const index = this.indexOfStep(timestep);
    const [sigma, next] = [this.sigmas[index], this.sigmas[index + 1]];
    const result = sample.device.scope(() => {
      const x = Linear.of(sample);
      if (!this.config.stochastic_sampling) return { prevSample: x.plus(modelOutput, next - sigma).toTensor() };
      const noise = varianceNoise ?? drawNoise(sample, generator);
      return {
        prevSample: x
          .plus(modelOutput, -sigma)
          .times(1 - next)
          .plus(noise, next)
          .toTensor(),
      };
    });
    this.advance();
    return result;
  }
}
