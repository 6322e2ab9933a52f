import type { Tensor } from "../tensor/tensor.js";
import { checkScheduleOptions, checkSet, checkShapes, checkSteps, given } from "./checks.js";
import { FlowMatchEulerDiscreteScheduler } from "./flow_match_euler_discrete.js";
import { IndexedScheduler } from "./indexed_scheduler.js";
import { Linear } from "./linear.js";
import { drawNoise } from "./noise.js";
import type { ScheduleOptions, StepOptions, StepResult } from "./scheduler.js";
import { checkStepOptions } from "./step_options.js";

const defaults = { num_train_timesteps: 1000, eta: 1.0, s_noise: 1.0 };
/** Keys of a LTXEulerAncestralRFScheduler's config, with diffusers' meaning and defaults. */
export type LTXEulerAncestralRFConfig = typeof defaults;

const f32 = Math.fround;

/** Ancestral Euler steps of rectified flow, as ComfyUI runs LTX-Video's models. diffusers: scheduling_ltx_euler_ancestral_rf.py */
export class LTXEulerAncestralRFScheduler extends IndexedScheduler<LTXEulerAncestralRFConfig> {
  static override readonly className: string = "LTXEulerAncestralRFScheduler";
  static override readonly defaults = defaults;
  static override readonly compatibleNames = ["FlowMatchEulerDiscreteScheduler"];
  static override readonly customSchedules = ["timesteps", "sigmas", "mu"] as const;
  readonly initNoiseSigma = 1;
  /** Levels of the schedule, float32, with that after the last step at the end. */
  sigmas: number[] = [];

  constructor(options: Partial<LTXEulerAncestralRFConfig> = {}) {
    super(options);
  }

  /**
   * FlowMatchEulerDiscreteScheduler's schedule for this config, whose keys of that class count, too.
   * @param options `mu` goes there; `sigmas` of your own, with a 0 at the end, and `timesteps` as another name of them
   */
  setTimesteps(numInferenceSteps: number | null, options: ScheduleOptions = {}): void {
    const { className, config } = this;
    const {
      timesteps,
      sigmas = timesteps,
      mu,
    } = checkScheduleOptions(className, LTXEulerAncestralRFScheduler.customSchedules, options);
    if (sigmas) this.#own(numInferenceSteps, sigmas);
    else {
      const base = FlowMatchEulerDiscreteScheduler.fromConfig(config);
      base.setTimesteps(checkSteps(this, numInferenceSteps), { mu });
      this.sigmas = base.sigmas;
      this.timesteps = base.timesteps;
      this.numInferenceSteps = base.numInferenceSteps;
    }
    this.restart();
  }

  #own(numInferenceSteps: number | null, own: readonly number[]): void {
    const { className, config } = this;
    const steps = checkSteps(this, own.length - 1);
    const last = own[steps];
    if (Math.abs(f32(last)) > 1e-6)
      console.warn(
        `The last sigma in the schedule is not zero (${last.toFixed(6)}). For best compatibility with ComfyUI's RF sampler, ` +
          "the terminal sigma should be 0.0.",
      );
    if (given(numInferenceSteps) && numInferenceSteps !== steps)
      console.warn(
        `${className}.setTimesteps: ${numInferenceSteps} steps do not match the ${own.length} sigmas, which make ${steps}`,
      );
    this.sigmas = own.map(f32);
    this.timesteps = this.sigmas.map((sigma) => f32(sigma * config.num_train_timesteps));
    this.numInferenceSteps = steps;
  }

  /** The sample itself: these models see it unscaled. */
  scaleModelInput(sample: Tensor, _timestep?: number): Tensor {
    return sample;
  }

  /** As diffusers' class this goes on after the last step. */
  protected override indexOfStep(timestep: number): number {
    checkSet(this.className, this.numInferenceSteps);
    return this.currentIndex(timestep);
  }

  /** After the last level the sample comes back as it is. */
  step(modelOutput: Tensor, timestep: number, sample: Tensor, options?: StepOptions | null): StepResult {
    const { className, sigmas, config } = this;
    const { generator, varianceNoise } = checkStepOptions(className, options);
    checkShapes(className, modelOutput, sample);
    const index = this.indexOfStep(timestep);
    if (index >= sigmas.length - 1) return { prevSample: Linear.of(sample).toTensor() };
    const [sigma, next] = [sigmas[index], sigmas[index + 1]];
    const prevSample = sample.device.scope(() => {
      const x0 = Linear.of(sample).plus(modelOutput, -sigma);
      if (Math.abs(next) < 1e-8) return x0.toTensor();
      const { ratio, scale, renoise } = ancestral(sigma, next, config.eta);
      const x = Linear.of(sample, ratio).plus(x0, 1 - ratio);
      if (!(config.eta > 0 && config.s_noise > 0)) return x.toTensor();
      const noise = varianceNoise ?? drawNoise(sample, generator, "float32");
      return x
        .times(scale)
        .plus(noise, renoise * config.s_noise)
        .toTensor();
    });
    this.advance();
    return { prevSample };
  }
}

/** In float32 as in diffusers: with a small eta the noise is what is left of two levels that are nearly equal. */
function ancestral(sigma: number, next: number, eta: number): { ratio: number; scale: number; renoise: number } {
  const down = f32(next * f32(1 + f32(f32(f32(next / sigma) - 1) * eta)));
  const [alpha, alphaDown] = [f32(1 - next), f32(1 - down)];
  const kept = f32(f32(f32(down * down) * f32(alpha * alpha)) / f32(f32(alphaDown * alphaDown) + 1e-12));
  return {
    ratio: f32(down / sigma),
    scale: f32(alpha / f32(alphaDown + 1e-12)),
    renoise: Math.sqrt(Math.max(0, f32(f32(next * next) - kept))),
  };
}
