/** Networks that were trained in k-diffusion's terms, in loops of this library: Karras et al. 2022, table 1. */
import type { Scheduler } from "../../schedulers/index.js";
import { slice } from "../../tensor/ops/copy.js";
import { linearCombination } from "../../tensor/ops/elementwise.js";
import type { Tensor } from "../../tensor/tensor.js";

const f = Math.fround;

/**
 * The levels of a schedule that is made.
 * @throws TypeError for a scheduler that does not go by levels of noise
 */
export function sigmasOf(className: string, scheduler: Scheduler): readonly number[] {
  const { sigmas } = scheduler as { sigmas?: unknown };
  if (Array.isArray(sigmas)) return sigmas as number[];
  throw new TypeError(
    `${className}: a ${scheduler.className} has no sigmas, by which the UNet goes; take an EulerDiscreteScheduler`,
  );
}

/** Of a network whose noise level is told as ln(σ) / 4, and whose last channel, a variance, nobody uses. */
export class Preconditioning {
  /** What the network takes for the timestep of each step. */
  readonly timesteps: readonly number[];
  readonly #scheduler: Scheduler;
  readonly #sigmas: readonly number[];

  /** @param count of steps */
  constructor(className: string, scheduler: Scheduler, count: number) {
    this.#scheduler = scheduler;
    this.#sigmas = sigmasOf(className, scheduler).slice(0, count);
    this.timesteps = this.#sigmas.map((sigma) => f(f(Math.log(sigma)) * 0.25));
  }

  /**
   * The sample without noise, in the place of what the scheduler takes of a model.
   * @param output [rows, channels + 1, height, width] of the network
   * @param sample [rows, channels, height, width], not scaled
   * @param i step @param timestep the scheduler's
   */
  denoised(output: Tensor, sample: Tensor, i: number, timestep: number): Tensor {
    const sigma = this.#sigmas[i];
    const used = slice(output, 1, 0, output.shape[1] - 1);
    // The scheduler scales by a number, 1 / sqrt(σ² + 1): of σ times the output it makes what it would of σ.
    const scaled = this.#scheduler.scaleModelInput(linearCombination([[sigma, used]]), timestep);
    return linearCombination([
      [1 / (sigma ** 2 + 1), sample],
      [1, scaled],
    ]);
  }
}
