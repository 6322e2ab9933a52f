import type { Tensor } from "../tensor/tensor.js";
import { checkShapes } from "./checks.js";
import { ancestralLevels } from "./euler_ancestral_discrete.js";
import { between, KDPM2Scheduler } from "./kdpm2_scheduler.js";
import { drawNoise } from "./noise.js";
import type { StepOptions, StepResult } from "./scheduler.js";
import { checkStepOptions } from "./step_options.js";

/** DPM2 with ancestral noise (k-diffusion, sample_dpm_2_ancestral). diffusers: scheduling_k_dpm_2_ancestral_discrete.py */
export class KDPM2AncestralDiscreteScheduler extends KDPM2Scheduler {
  static override readonly className: string = "KDPM2AncestralDiscreteScheduler";

  protected get firstMiddle(): 0 {
    return 0;
  }

  protected middleLevels(sigmas: readonly number[]): number[] {
    return sigmas.map((sigma, i) =>
      i + 2 >= sigmas.length ? 0 : between(sigma, ancestralLevels(sigma, sigmas[i + 1]).down),
    );
  }

  step(modelOutput: Tensor, timestep: number, sample: Tensor, options?: StepOptions | null): StepResult {
    const { generator } = checkStepOptions(this.className, options);
    checkShapes(this.className, modelOutput, sample);
    const index = this.indexOfStep(timestep);
    const { sigmas } = this;
    const start = this.start.value;
    const middle = this.middleAt(index);
    const sigma = start ? sigmas[index - 1] : sigmas[index];
    const result = sample.device.scope(() => {
      const { x0, derivative } = this.slope(modelOutput, sample, start ? middle : sigma);
      const predOriginalSample = x0.toTensor();
      if (!start) {
        this.start.set(sample);
        return {
          prevSample: derivative
            .times(middle - sigma)
            .plus(sample)
            .toTensor(),
          predOriginalSample,
        };
      }
      // The level after that of the first half: not sigmas[index], where the schedule was begun at a second half.
      const { up, down } = ancestralLevels(sigma, sigmas[2 * Math.ceil((index - 1) / 2) + 1]);
      const noise = drawNoise(modelOutput, generator);
      const prevSample = derivative
        .times(down - sigma)
        .plus(start)
        .plus(noise, up)
        .toTensor();
      return { prevSample, predOriginalSample };
    });
    if (start) this.start.clear();
    this.advance();
    return result;
  }
}
