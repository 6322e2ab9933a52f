/** Base of the schedulers that walk down a table of noise levels (Karras et al. 2022). */
import type { Tensor } from "../tensor/tensor.js";
import { IndexedScheduler } from "./indexed_scheduler.js";
import { Linear } from "./linear.js";
import { mixAtTimes } from "./noising.js";

export abstract class SigmasScheduler<C extends object = object> extends IndexedScheduler<C> {
  /** Noise levels of the schedule, float32, with the level after the last step at the end. */
  sigmas: number[] = [];

  /** Level of the next step, for the scaling of a model's input. */
  protected sigmaNow(timestep: number): number {
    return this.sigmas[Math.min(this.currentIndex(timestep), this.sigmas.length - 1)];
  }

  /** x / √(σ² + 1): models trained with variance-preserving noise see unit variance. */
  scaleModelInput(sample: Tensor, timestep: number): Tensor {
    return Linear.of(sample, 1 / Math.sqrt(this.sigmaNow(timestep) ** 2 + 1)).toTensor();
  }

  /**
   * x + σ noise: the forward process.
   * @param timesteps of the schedule, one for all samples or one per sample
   */
  addNoise(x: Tensor, noise: Tensor, timesteps: number | readonly number[]): Tensor {
    return mixAtTimes(`${this.className}.addNoise`, x, noise, timesteps, (t) => [1, this.sigmas[this.noiseIndex(t)]]);
  }
}
