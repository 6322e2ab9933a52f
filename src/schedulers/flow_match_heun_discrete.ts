import type { Tensor } from "../tensor/tensor.js";
import { checkScheduleOptions, checkShapes, checkSteps } from "./checks.js";
import { FlowScheduler, shifted } from "./flow_scheduler.js";
import { twice } from "./heun_discrete.js";
import { Slot } from "./history.js";
import { Linear } from "./linear.js";
import { drawNoise } from "./noise.js";
import type { ScheduleOptions, StepOptions, StepResult } from "./scheduler.js";
import { checkStepOptions } from "./step_options.js";
import { linspace64 } from "./spacing.js";

const defaults = { num_train_timesteps: 1000, shift: 1.0 };
/** Keys of a FlowMatchHeunDiscreteScheduler's config, with diffusers' meaning and defaults. */
export type FlowMatchHeunDiscreteConfig = typeof defaults;

const f32 = Math.fround;

/** Heun's method for rectified flow (Karras et al. 2022, arXiv 2206.00364, algorithm 1). diffusers: scheduling_flow_match_heun_discrete.py */
export class FlowMatchHeunDiscreteScheduler extends FlowScheduler<FlowMatchHeunDiscreteConfig> {
  static override readonly className: string = "FlowMatchHeunDiscreteScheduler";
  static override readonly defaults = defaults;
  override readonly order = 2;
  protected override readonly needsSetTimesteps = true;
  /** Sample and derivative of the first half of a step, while the second is due, and the length of the step. */
  readonly #start = new Slot();
  readonly #derivative = new Slot();
  #length = 0;

  constructor(options: Partial<FlowMatchHeunDiscreteConfig> = {}) {
    super(options);
  }

  /** n steps run the model 2n - 1 times. The training levels are shifted already, and are shifted again, as in diffusers. */
  setTimesteps(numInferenceSteps: number | null, options: ScheduleOptions = {}): void {
    checkScheduleOptions(this.className, FlowMatchHeunDiscreteScheduler.customSchedules, options);
    const n = checkSteps(this, numInferenceSteps);
    const { num_train_timesteps: train, shift } = this.config;
    const levels = linspace64(this.sigmaMax * train, this.sigmaMin * train, n).map((t) =>
      f32(shifted(t / train, shift)),
    );
    this.timesteps = twice(levels.map((sigma) => f32(sigma * train)));
    this.sigmas = [...twice(levels), 0];
    this.numInferenceSteps = n;
    this.restart();
  }

  override reset(): void {
    super.reset();
    this.#start.clear();
    this.#derivative.clear();
  }

  /** Whether the next step is the first half of Heun's. */
  get stateInFirstOrder(): boolean {
    return this.#start.value === null;
  }

  step(modelOutput: Tensor, timestep: number, sample: Tensor, options?: StepOptions | null): StepResult {
    checkShapes(this.className, modelOutput, sample);
    const index = this.indexOfStep(timestep);
    const { sigmas } = this;
    const {
      sChurn = 0,
      sTmin = 0,
      sTmax = Infinity,
      sNoise = 1,
      generator,
    } = checkStepOptions(this.className, options);
    const [start, first] = [this.#start.value, this.#derivative.value];
    const [sigma, next] = start ? [sigmas[index - 1], sigmas[index]] : [sigmas[index], sigmas[index + 1]];
    const churns = sTmin <= sigma && sigma <= sTmax;
    const gamma = churns ? Math.min(sChurn / (sigmas.length - 1), Math.SQRT2 - 1) : 0;
    const sigmaHat = sigma * (gamma + 1);
    const result = sample.device.scope(() => {
      // The second half draws noise as well, though it cancels out of the derivative.
      const noise = gamma > 0 ? drawNoise(modelOutput, generator) : null;
      if (start && first) {
        const mean = Linear.of(modelOutput, 0.5).plus(first, 0.5);
        return { prevSample: mean.times(this.#length).plus(start).toTensor() };
      }
      const x = noise
        ? Linear.of(sample).plus(noise, sNoise * Math.sqrt(sigmaHat ** 2 - sigma ** 2))
        : Linear.of(sample);
      const derivative = Linear.of(modelOutput, sigma / sigmaHat);
      this.#length = next - sigmaHat;
      this.#start.set(x);
      this.#derivative.set(derivative);
      return { prevSample: x.plus(derivative, this.#length).toTensor() };
    });
    if (start) {
      this.#start.clear();
      this.#derivative.clear();
    }
    this.advance();
    return result;
  }
}
