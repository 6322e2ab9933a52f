import type { Tensor } from "../tensor/tensor.js";
import { BETA_DEFAULTS } from "./betas.js";
import { checkScheduleOptions, checkShapes } from "./checks.js";
import type { Choice } from "./config.js";
import { DiscreteScheduler } from "./discrete_scheduler.js";
import { Linear } from "./linear.js";
import { drawNoise } from "./noise.js";
import { sigmaPrediction } from "./prediction.js";
import { KARRAS_SCHEDULERS, type ScheduleOptions, type StepOptions, type StepResult } from "./scheduler.js";
import { checkStepOptions } from "./step_options.js";
import { interpolate } from "./sigmas.js";
import { spacedTimesteps, type Spacing } from "./spacing.js";

const defaults = {
  ...BETA_DEFAULTS,
  prediction_type: "epsilon" as Choice<"epsilon" | "v_prediction">,
  timestep_spacing: "linspace" as Choice<Spacing>,
  steps_offset: 0,
  rescale_betas_zero_snr: false,
};
/** Keys of an EulerAncestralDiscreteScheduler's config, with diffusers' meaning and defaults. */
export type EulerAncestralDiscreteConfig = typeof defaults;

/**
 * Splits a step from one level to a lower one into going further down and adding noise on the way back up. In float32 as in
 * diffusers: the difference of squares loses digits there, and the pictures with them.
 */
export function ancestralLevels(from: number, to: number): { up: number; down: number } {
  const [from2, to2] = [f32(from * from), f32(to * to)];
  const up = f32(Math.sqrt(f32(f32(to2 * f32(from2 - to2)) / from2)));
  return { up, down: f32(Math.sqrt(f32(to2 - f32(up * up)))) };
}
const f32 = Math.fround;

/** Euler's method with ancestral noise (k-diffusion, sample_euler_ancestral). diffusers: scheduling_euler_ancestral_discrete.py */
export class EulerAncestralDiscreteScheduler extends DiscreteScheduler<EulerAncestralDiscreteConfig> {
  static override readonly className: string = "EulerAncestralDiscreteScheduler";
  static override readonly defaults = defaults;
  static override readonly compatibleNames = KARRAS_SCHEDULERS;

  constructor(options: Partial<EulerAncestralDiscreteConfig> = {}) {
    super(options);
  }

  setTimesteps(numInferenceSteps: number | null, options: ScheduleOptions = {}): void {
    options = checkScheduleOptions(this.className, EulerAncestralDiscreteScheduler.customSchedules, options);
    const n = this.countSteps(numInferenceSteps, options);
    // The class has no sigma shapes, also where another class's hidden keys ask for one.
    const times = spacedTimesteps(this.className, this.config, n, { rounded: false });
    this.begin(n, times, [...times.map((t) => interpolate(this.table, t)), 0]);
  }

  step(modelOutput: Tensor, timestep: number, sample: Tensor, options?: StepOptions | null): StepResult {
    const { generator } = checkStepOptions(this.className, options);
    const { className, config, sigmas } = this;
    checkShapes(className, modelOutput, sample);
    const index = this.indexOfStep(timestep);
    const sigma = sigmas[index];
    const { up, down } = ancestralLevels(sigma, sigmas[index + 1]);
    const result = sample.device.scope(() => {
      const x = Linear.of(sample);
      const known = ["epsilon", "v_prediction"] as const;
      const x0 = sigmaPrediction(className, config.prediction_type, modelOutput, x, { sigma, known });
      const derivative = x.minus(x0).times(1 / sigma);
      const noise = drawNoise(modelOutput, generator);
      return {
        prevSample: x
          .plus(derivative, down - sigma)
          .plus(noise, up)
          .toTensor(),
        predOriginalSample: x0.toTensor(),
      };
    });
    this.advance();
    return result;
  }
}
