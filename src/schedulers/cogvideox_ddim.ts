import type { Tensor } from "../tensor/tensor.js";
import { checkShapes } from "./checks.js";
import { CogVideoXScheduler } from "./cogvideox_scheduler.js";
import { Linear } from "./linear.js";
import type { StepOptions, StepResult } from "./scheduler.js";
import { checkStepOptions } from "./step_options.js";

/** DDIM as CogVideoX runs it (Yang et al. 2024, arXiv 2408.06072): without noise and without clipping. diffusers: scheduling_ddim_cogvideox.py */
export class CogVideoXDDIMScheduler extends CogVideoXScheduler {
  static override readonly className: string = "CogVideoXDDIMScheduler";

  /** As in diffusers the options are those of DDIM, and none of them changes anything. */
  step(modelOutput: Tensor, timestep: number, sample: Tensor, options?: StepOptions | null): StepResult {
    const { className } = this;
    checkStepOptions(className, options);
    checkShapes(className, modelOutput, sample);
    const { alpha, alphaPrevious } = this.alphasAt(timestep);
    const x = Math.sqrt((1 - alphaPrevious) / (1 - alpha));
    return sample.device.scope(() => {
      const x0 = this.x0(modelOutput, sample, alpha);
      const previous = Linear.of(sample, x).plus(x0, Math.sqrt(alphaPrevious) - Math.sqrt(alpha) * x);
      return { prevSample: previous.toTensor(), predOriginalSample: x0.toTensor() };
    });
  }
}
