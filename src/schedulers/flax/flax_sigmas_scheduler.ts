/** Base of the stateless schedulers that walk down a table of noise levels (Karras et al. 2022). */
import type { Tensor } from "../../tensor/tensor.js";
import type { BetaConfig } from "../betas.js";
import { Linear } from "../linear.js";
import { mixAtTimes } from "../noising.js";
import { interpolate, sigmasOf } from "../sigmas.js";
import { spacedTimesteps } from "../spacing.js";
import {
  FlaxDiffusionScheduler,
  type CommonSchedulerState,
  type FlaxDiffusionState,
} from "./flax_diffusion_scheduler.js";

export interface FlaxSigmasState extends FlaxDiffusionState {
  /** Noise levels of the timesteps, with the level after the last step, 0, at the end. */
  readonly sigmas: readonly number[];
}

export abstract class FlaxSigmasScheduler<
  C extends BetaConfig,
  S extends FlaxSigmasState,
> extends FlaxDiffusionScheduler<C, S> {
  /** The levels of timesteps, which may lie between training timesteps. */
  protected levelsAt({ alphasCumprod }: CommonSchedulerState, timesteps: readonly number[]): number[] {
    const table = sigmasOf(Float32Array.from(alphasCumprod));
    return [...timesteps.map((t) => Math.fround(interpolate(table, t))), 0];
  }

  /**
   * Timesteps as the stateful classes space them: fractions are kept, and the model is called at them. diffusers' Flax
   * classes lose them on the way, and with them the place in the schedule.
   */
  protected spaced(timestep_spacing: string, steps_offset: number, n: number): number[] {
    const { num_train_timesteps } = this.config;
    // One step begins at the noisy end; the stateful classes' one linspace timestep is 0, as numpy has it.
    if (timestep_spacing === "linspace" && n === 1) return [num_train_timesteps - 1];
    const config = { num_train_timesteps, timestep_spacing, steps_offset };
    return spacedTimesteps(this.className, config, n, { rounded: false });
  }

  /** x / √(σ² + 1): models trained with variance-preserving noise see unit variance. */
  override scaleModelInput(state: S, sample: Tensor, timestep: number): Tensor {
    const sigma = state.sigmas[this.indexOf(state, timestep, "scaleModelInput")];
    return Linear.of(sample, 1 / Math.sqrt(sigma ** 2 + 1)).toTensor();
  }

  /**
   * x + σ noise: the forward process.
   * @param timesteps of the schedule, one for all samples or one per sample (diffusers' Flax classes take these numbers for
   * indices)
   */
  override addNoise(state: S, original: Tensor, noise: Tensor, timesteps: number | readonly number[]): Tensor {
    return mixAtTimes(`${this.className}.addNoise`, original, noise, timesteps, (t) => [
      1,
      state.sigmas[this.indexOf(state, t, "addNoise")],
    ]);
  }
}
