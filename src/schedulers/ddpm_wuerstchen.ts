import type { Tensor } from "../tensor/tensor.js";
import { linspace } from "./betas.js";
import { checkScheduleOptions, checkSet, checkShapes, checkSteps, countSteps, offSchedule } from "./checks.js";
import { Linear } from "./linear.js";
import { drawNoise } from "./noise.js";
import { noisyAt } from "./noising.js";
import { Scheduler, type ScheduleOptions, type StepOptions, type StepResult } from "./scheduler.js";
import { checkStepOptions } from "./step_options.js";

const defaults = { scaler: 1.0, s: 0.008 };
/** Keys of a DDPMWuerstchenScheduler's config, with diffusers' meaning and defaults. */
export type DDPMWuerstchenConfig = typeof defaults;

const f32 = Math.fround;

/**
 * DDPM over continuous time with a cosine schedule, as Würstchen runs it (Pernias et al. 2023, arXiv 2306.00637). A run takes the
 * timesteps but for the last, which is where it ends. diffusers: scheduling_ddpm_wuerstchen.py
 */
export class DDPMWuerstchenScheduler extends Scheduler<DDPMWuerstchenConfig> {
  static override readonly className: string = "DDPMWuerstchenScheduler";
  static override readonly defaults = defaults;
  static override readonly customSchedules = ["timesteps"] as const;
  readonly initNoiseSigma = 1;

  constructor(options: Partial<DDPMWuerstchenConfig> = {}) {
    super(options);
  }

  /** ᾱ at a time from 0 (clean) to 1, in float32 as in diffusers: what is left to 1 may be all rounding. */
  #alpha(time: number): number {
    const { scaler, s: given } = this.config;
    const s = f32(given);
    const of = (t: number): number => f32(f32(Math.cos(f32(f32(f32(t / f32(1 + s)) * f32(Math.PI)) * 0.5))) ** 2);
    let t = f32(time);
    if (scaler > 1) t = f32(1 - f32(f32(1 - t) ** scaler));
    else if (scaler < 1) t = f32(t ** scaler);
    return f32(Math.min(0.9999, Math.max(0.0001, f32(of(f32(t + s)) / of(s)))));
  }

  /** Times from 1 to 0, one more than there are steps. @param options `timesteps` of your own, with the one to end at */
  setTimesteps(numInferenceSteps: number | null, options: ScheduleOptions = {}): void {
    const { timesteps } = checkScheduleOptions(this.className, DDPMWuerstchenScheduler.customSchedules, options);
    const n = timesteps ? countSteps(this, numInferenceSteps, timesteps) - 1 : checkSteps(this, numInferenceSteps);
    this.timesteps = timesteps?.map(f32) ?? Array.from(linspace(1, 0, n + 1));
    this.numInferenceSteps = n;
  }

  /** The sample itself: these models see it unscaled. */
  scaleModelInput(sample: Tensor, _timestep?: number): Tensor {
    return sample;
  }

  /** The timestep after the one that is nearest to `timestep`. @throws RangeError where that is the last */
  previousTimestep(timestep: number): number {
    const { className, timesteps } = this;
    checkSet(className, this.numInferenceSteps);
    if (!Number.isFinite(timestep)) throw offSchedule(className, timestep);
    const distances = timesteps.map((t) => Math.abs(f32(t - f32(timestep))));
    const next = timesteps[distances.indexOf(Math.min(...distances)) + 1] as number | undefined;
    if (next !== undefined) return next;
    throw new RangeError(
      `${className}.step: no timestep follows ${timestep}; a run takes scheduler.timesteps but for the last`,
    );
  }

  step(modelOutput: Tensor, timestep: number, sample: Tensor, options?: StepOptions | null): StepResult {
    const { className } = this;
    const { generator, varianceNoise } = checkStepOptions(className, options);
    checkShapes(className, modelOutput, sample);
    const previous = this.previousTimestep(timestep);
    const [alphaBar, alphaBarPrevious] = [this.#alpha(timestep), this.#alpha(previous)];
    const alpha = f32(alphaBar / alphaBarPrevious);
    const [beta, left, leftPrevious] = [f32(1 - alpha), f32(1 - alphaBar), f32(1 - alphaBarPrevious)];
    return sample.device.scope(() => {
      const mean = Linear.of(sample)
        .plus(modelOutput, -beta / Math.sqrt(left))
        .times(1 / Math.sqrt(alpha));
      const noise = varianceNoise ?? drawNoise(modelOutput, generator);
      const std = previous === 0 ? 0 : Math.sqrt((beta * leftPrevious) / left);
      return { prevSample: mean.plus(noise, std).toTensor() };
    });
  }

  /**
   * √ᾱ x + √(1 - ᾱ) noise: the forward process.
   * @param timesteps times from 0 to 1, one for all samples or one per sample
   */
  addNoise(x: Tensor, noise: Tensor, timesteps: number | readonly number[]): Tensor {
    return noisyAt(`${this.className}.addNoise`, x, noise, timesteps, (t) => this.#alpha(t));
  }
}
