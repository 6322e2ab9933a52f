import type { Tensor } from "../tensor/tensor.js";
import { checkScheduleOptions, checkShapes, checkSteps, checkTrainTimesteps } from "./checks.js";
import { EDM_DEFAULTS, EDMScheduler, type EDMConfig } from "./edm_scheduler.js";
import { Linear } from "./linear.js";
import { drawNoise } from "./noise.js";
import { linear } from "./prediction.js";
import type { ScheduleOptions, StepOptions, StepResult } from "./scheduler.js";
import { checkStepOptions } from "./step_options.js";
import { linspace64 } from "./spacing.js";

const exact = (x: number): number => x;

/** Euler's method in EDM's formulation (Karras et al. 2022, arXiv 2206.00364, algorithm 2). diffusers: scheduling_edm_euler.py */
export class EDMEulerScheduler extends EDMScheduler {
  static override readonly className: string = "EDMEulerScheduler";
  static override readonly defaults = EDM_DEFAULTS;
  static override readonly customSchedules = ["sigmas"] as const;

  constructor(options: Partial<EDMConfig> = {}) {
    super(options);
    const train = checkTrainTimesteps(this.className, this.config.num_train_timesteps);
    const levels = this.levelsOf(
      Array.from({ length: train + 1 }, (_, i) => i / train),
      exact,
    );
    this.begin(levels, levels[levels.length - 1]);
  }

  /** @param options `sigmas`: not levels, but a ramp from 0 (the largest level) to 1 (the smallest), as in diffusers */
  setTimesteps(numInferenceSteps: number | null, options: ScheduleOptions = {}): void {
    options = checkScheduleOptions(this.className, EDMEulerScheduler.customSchedules, options);
    const ramp = options.sigmas ?? linspace64(0, 1, checkSteps(this, numInferenceSteps));
    const levels = this.levelsOf(ramp, exact);
    this.numInferenceSteps = checkSteps(this, levels.length);
    this.begin(levels, levels[levels.length - 1]);
  }

  /** Algorithm 2 of the paper; `sChurn`, `sTmin`, `sTmax`, `sNoise` add noise on the way. */
  step(modelOutput: Tensor, timestep: number, sample: Tensor, options?: StepOptions | null): StepResult {
    checkShapes(this.className, modelOutput, sample);
    const index = this.indexOfStep(timestep);
    const { sigmas } = this;
    const { sChurn = 0, sTmin = 0, sTmax = Infinity, ...others } = checkStepOptions(this.className, options);
    const { sNoise = 1, generator, predOriginalSample: given } = others;
    const sigma = sigmas[index];
    const churns = sTmin <= sigma && sigma <= sTmax;
    const gamma = churns ? Math.min(sChurn / (sigmas.length - 1), Math.SQRT2 - 1) : 0;
    const sigmaHat = sigma * (gamma + 1);
    const result = sample.device.scope(() => {
      let x = Linear.of(sample);
      if (gamma > 0) x = x.plus(drawNoise(modelOutput, generator), sNoise * Math.sqrt(sigmaHat ** 2 - sigma ** 2));
      const x0 = given ? linear(given) : this.denoised(x, modelOutput, sigmaHat);
      const derivative = x.minus(x0).times(1 / sigmaHat);
      const prevSample = x.plus(derivative, sigmas[index + 1] - sigmaHat).toTensor();
      return { prevSample, predOriginalSample: x0.toTensor() };
    });
    this.advance();
    return result;
  }
}
