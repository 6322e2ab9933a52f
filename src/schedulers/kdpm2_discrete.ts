import type { Tensor } from "../tensor/tensor.js";
import { checkShapes } from "./checks.js";
import { between, KDPM2Scheduler } from "./kdpm2_scheduler.js";
import type { StepOptions, StepResult } from "./scheduler.js";
import { checkStepOptions } from "./step_options.js";

/** DPM2 (Karras et al. 2022, arXiv 2206.00364, algorithm 2 with midpoints in log σ). diffusers: scheduling_k_dpm_2_discrete.py */
export class KDPM2DiscreteScheduler extends KDPM2Scheduler {
  static override readonly className: string = "KDPM2DiscreteScheduler";

  protected get firstMiddle(): 1 {
    return 1;
  }

  protected middleLevels(sigmas: readonly number[]): number[] {
    return sigmas.map((sigma, i) => (i === 0 ? 0 : between(sigma, sigmas[i - 1])));
  }

  step(modelOutput: Tensor, timestep: number, sample: Tensor, options?: StepOptions | null): StepResult {
    checkStepOptions(this.className, options);
    checkShapes(this.className, modelOutput, sample);
    const index = this.indexOfStep(timestep);
    const start = this.start.value;
    const middle = this.middleAt(index);
    const [sigma, next] = start ? [this.sigmas[index - 1], this.sigmas[index]] : [this.sigmas[index], middle];
    const result = sample.device.scope(() => {
      const { x0, derivative } = this.slope(modelOutput, sample, start ? middle : sigma);
      if (!start) this.start.set(sample);
      const prevSample = derivative
        .times(next - sigma)
        .plus(start ?? sample)
        .toTensor();
      return { prevSample, predOriginalSample: x0.toTensor() };
    });
    if (start) this.start.clear();
    this.advance();
    return result;
  }
}
