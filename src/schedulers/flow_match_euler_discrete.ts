import type { Tensor } from "../tensor/tensor.js";
import { checkScheduleOptions, checkShapes } from "./checks.js";
import { SHIFTED_FLOW_DEFAULTS, ShiftedFlowScheduler } from "./flow_scheduler.js";
import { Linear } from "./linear.js";
import { drawNoise } from "./noise.js";
import type { ScheduleOptions, StepOptions, StepResult } from "./scheduler.js";
import { checkStepOptions } from "./step_options.js";
import { tokenStep } from "./token_steps.js";

const defaults = { ...SHIFTED_FLOW_DEFAULTS, stochastic_sampling: false };
/** Keys of a FlowMatchEulerDiscreteScheduler's config, with diffusers' meaning and defaults. */
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

  /**
   * @param options `perTokenTimesteps`: the level of each token of samples [batch, tokens, channels], in place of the
   *   schedule's; a token goes down to the next level of the schedule, by the output negated (see `tokenStep`)
   */
  step(modelOutput: Tensor, timestep: number, sample: Tensor, options?: StepOptions | null): StepResult {
    const { className, config } = this;
    const { generator, varianceNoise, perTokenTimesteps } = checkStepOptions(className, options);
    checkShapes(className, modelOutput, sample);
    const index = this.indexOfStep(timestep);
    const prevSample = sample.device.scope(() => {
      const noise = config.stochastic_sampling ? (varianceNoise ?? drawNoise(sample, generator, "float32")) : null;
      if (!perTokenTimesteps) return this.#euler(index, modelOutput, sample, noise).toTensor();
      const schedule = { sigmas: this.sigmas, train: config.num_train_timesteps };
      return tokenStep(`${className}.step`, perTokenTimesteps, schedule, { modelOutput, sample, noise });
    });
    this.advance();
    return { prevSample };
  }

  /** From a level to the next; with noise by way of x0. */
  #euler(index: number, modelOutput: Tensor, sample: Tensor, noise: Tensor | null): Linear {
    const [sigma, next] = [this.sigmas[index], this.sigmas[index + 1]];
    const x = Linear.of(sample);
    if (!noise) return x.plus(modelOutput, next - sigma);
    return x
      .plus(modelOutput, -sigma)
      .times(1 - next)
      .plus(noise, next);
  }
}
