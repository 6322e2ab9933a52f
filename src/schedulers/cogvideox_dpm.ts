import type { Tensor } from "../tensor/tensor.js";
import { checkShapes } from "./checks.js";
import { CogVideoXScheduler } from "./cogvideox_scheduler.js";
import { Linear } from "./linear.js";
import { drawNoise } from "./noise.js";
import type { StepOptions, StepResult } from "./scheduler.js";
import { checkStepOptions } from "./step_options.js";

/** ln of the signal-to-noise ratio's root. */
const lambda = (alpha: number): number => Math.log(Math.sqrt(alpha / (1 - alpha)));

/**
 * Stochastic DPM-Solver++ (2M) as CogVideoX runs it (Yang et al. 2024, arXiv 2408.06072; Lu et al. 2022, arXiv 2211.01095). The caller
 * keeps each step's `predOriginalSample` for the next. diffusers: scheduling_dpm_cogvideox.py
 */
export class CogVideoXDPMScheduler extends CogVideoXScheduler {
  static override readonly className: string = "CogVideoXDPMScheduler";

  /** @param options `oldPredOriginalSample` and `timestepBack`: x0 and timestep of the step before; without them the step is of first order */
  step(modelOutput: Tensor, timestep: number, sample: Tensor, options?: StepOptions | null): StepResult {
    const { className } = this;
    const { generator, varianceNoise, oldPredOriginalSample: old, timestepBack } = checkStepOptions(className, options);
    checkShapes(className, modelOutput, sample);
    const { alpha, alphaPrevious, isLast } = this.alphasAt(timestep);
    const h = lambda(alphaPrevious) - lambda(alpha);
    const second = old !== undefined && !isLast;
    if (second && timestepBack === undefined)
      throw new TypeError(
        `${className}.step: oldPredOriginalSample needs timestepBack, the timestep that it was made at`,
      );
    const halfRatio = second ? h / (2 * (lambda(alpha) - lambda(this.alphaAt(timestepBack!)))) : 0;
    const ofX = Math.sqrt((1 - alphaPrevious) / (1 - alpha)) * Math.exp(-h);
    const ofX0 = -Math.expm1(-2 * h) * Math.sqrt(alphaPrevious);
    const ofNoise = Math.sqrt(1 - alphaPrevious) * Math.sqrt(1 - Math.exp(-2 * h));
    return sample.device.scope(() => {
      const predOriginalSample = this.x0(modelOutput, sample, alpha).toTensor();
      let x0 = Linear.of(predOriginalSample, 1 + halfRatio);
      if (second) x0 = x0.plus(old, -halfRatio);
      // diffusers draws for a step of first order, and drops that where one of second follows.
      if (second) drawNoise(sample, generator).dispose();
      const noise = varianceNoise ?? drawNoise(sample, generator);
      const previous = Linear.of(sample, ofX).plus(x0, ofX0).plus(noise, ofNoise);
      return { prevSample: previous.toTensor(), predOriginalSample };
    });
  }
}
