import type { Tensor } from "../tensor/tensor.js";
import { AlphasScheduler } from "./alphas_scheduler.js";
import { BETA_DEFAULTS } from "./betas.js";
import { checkScheduleOptions, checkShapes, checkSteps } from "./checks.js";
import { oneOf } from "./config.js";
import { History, Slot } from "./history.js";
import { Linear } from "./linear.js";
import { adamsBashforth } from "./multistep.js";
import { linear } from "./prediction.js";
import { KARRAS_SCHEDULERS, type ScheduleOptions, type StepResult } from "./scheduler.js";
import { spacedTimesteps } from "./spacing.js";

const defaults = {
  ...BETA_DEFAULTS,
  skip_prk_steps: false,
  set_alpha_to_one: false,
  prediction_type: "epsilon",
  timestep_spacing: "leading",
  steps_offset: 0,
};
export type PNDMConfig = typeof defaults;

/** Pseudo numerical methods for diffusion models (Liu et al. 2022, arXiv 2202.09778). diffusers: scheduling_pndm.py */
export class PNDMScheduler extends AlphasScheduler<PNDMConfig> {
  static override readonly className: string = "PNDMScheduler";
  static override readonly defaults = defaults;
  static override readonly compatibleNames = KARRAS_SCHEDULERS;
  readonly finalAlphaCumprod: number;
  /** The part of `timesteps` that runs the Runge-Kutta method; empty with `skip_prk_steps`. */
  prkTimesteps: number[] = [];
  /** The part of `timesteps` that runs the linear multistep method. */
  plmsTimesteps: number[] = [];
  /** Steps done since `setTimesteps`. */
  counter = 0;
  readonly #outputs = new History(4);
  readonly #start = new Slot();
  readonly #sum = new Slot();

  constructor(options: Partial<PNDMConfig> = {}) {
    super(options);
    this.finalAlphaCumprod = this.config.set_alpha_to_one ? 1 : this.alphasCumprod[0];
  }

  /** n steps run the model n + 1 times (PLMS: the second timestep comes twice), or n + 9 times with Runge-Kutta. */
  setTimesteps(numInferenceSteps: number | null, options: ScheduleOptions = {}): void {
    checkScheduleOptions(this.className, PNDMScheduler.customSchedules, options);
    const { config, className } = this;
    const n = checkSteps(className, numInferenceSteps);
    const spaced = spacedTimesteps(className, config, n);
    if (config.skip_prk_steps) {
      this.prkTimesteps = [];
      this.plmsTimesteps = [spaced[0], ...spaced.slice(1, 2), ...spaced.slice(1)];
    } else {
      if (n < 4)
        throw new RangeError(
          `${className}.setTimesteps: the Runge-Kutta start needs at least 4 steps, got ${n}; or set skip_prk_steps`,
        );
      const half = Math.floor(Math.floor(config.num_train_timesteps / n) / 2);
      const points = spaced
        .slice(0, 4)
        .reverse()
        .flatMap((t) => [t, t + half]);
      const doubled = points.slice(0, -1).flatMap((t) => [t, t]);
      this.prkTimesteps = doubled.slice(1, -1).reverse();
      this.plmsTimesteps = spaced.slice(3);
    }
    this.timesteps = [...this.prkTimesteps, ...this.plmsTimesteps];
    this.numInferenceSteps = n;
    this.reset();
  }

  override reset(): void {
    this.counter = 0;
    for (const memory of [this.#outputs, this.#start, this.#sum]) memory.clear();
  }

  /** `stepPrk` while Runge-Kutta timesteps are left, then `stepPlms`. */
  step(modelOutput: Tensor, timestep: number, sample: Tensor): StepResult {
    return this.counter < this.prkTimesteps.length && !this.config.skip_prk_steps
      ? this.stepPrk(modelOutput, timestep, sample)
      : this.stepPlms(modelOutput, timestep, sample);
  }

  /** One of the four evaluations of a pseudo Runge-Kutta step, formula (13). */
  stepPrk(modelOutput: Tensor, timestep: number, sample: Tensor): StepResult {
    const n = this.checkTimestep(timestep);
    checkShapes(this.className, modelOutput, sample);
    if (this.counter >= this.prkTimesteps.length)
      throw new Error(`${this.className}.stepPrk: no Runge-Kutta timestep is left, ${this.counter} steps are done`);
    const stage = this.counter % 4;
    const half = Math.floor(Math.floor(this.config.num_train_timesteps / n) / 2);
    const previous = timestep - (this.counter % 2 === 1 ? 0 : half);
    const from = this.prkTimesteps[this.counter - stage];
    const result = sample.device.scope(() => {
      let output = Linear.of(modelOutput);
      if (stage === 0) {
        this.#outputs.push(modelOutput);
        this.#start.set(sample);
      }
      const sum = this.#sum.value;
      const weighted = output.times(stage === 0 || stage === 3 ? 1 / 6 : 1 / 3).plus(sum ?? modelOutput, sum ? 1 : 0);
      if (stage < 3) this.#sum.set(weighted);
      else output = weighted;
      const prevSample = this.#previousSample(linear(this.#start.value ?? sample), from, previous, output);
      return { prevSample };
    });
    if (stage === 3) this.#sum.clear();
    this.counter++;
    return result;
  }

  /** A step of the pseudo linear multistep method over up to four outputs, formula (12). */
  stepPlms(modelOutput: Tensor, timestep: number, sample: Tensor): StepResult {
    const n = this.checkTimestep(timestep);
    checkShapes(this.className, modelOutput, sample);
    if (!this.config.skip_prk_steps && this.#outputs.length < 3)
      throw new Error(
        `${this.className}.stepPlms: runs after 12 steps of stepPrk, got ${this.counter}; or set skip_prk_steps`,
      );
    const ratio = Math.floor(this.config.num_train_timesteps / n);
    // The second step goes over the first again, with the mean of both outputs (Heun), and leaves no output behind.
    const again = this.counter === 1;
    const [from, previous] = again ? [timestep + ratio, timestep] : [timestep, timestep - ratio];
    const result = sample.device.scope(() => {
      if (!again) this.#outputs.push(modelOutput);
      const outputs = this.#outputs;
      if (this.counter === 0 && outputs.length === 1) this.#start.set(sample);
      let output: Linear;
      let start = linear(sample);
      if (again && outputs.length === 1) {
        output = Linear.of(modelOutput, 0.5).plus(outputs.at(-1), 0.5);
        if (this.#start.value) start = linear(this.#start.value);
      } else {
        output = adamsBashforth(outputs);
      }
      return { prevSample: this.#previousSample(start, from, previous, output) };
    });
    if (again) this.#start.clear();
    this.counter++;
    return result;
  }

  /** Formula (9): from x at `timestep` to x at `previous`, given the noise. */
  #previousSample(x: Linear, timestep: number, previous: number, modelOutput: Linear): Tensor {
    const alpha = this.alphaAt(timestep);
    const alphaPrevious = previous >= 0 ? this.alphaAt(previous) : this.finalAlphaCumprod;
    const type = oneOf(this.className, "prediction_type", this.config.prediction_type, ["epsilon", "v_prediction"]);
    const epsilon =
      type === "epsilon" ? modelOutput : modelOutput.times(Math.sqrt(alpha)).plus(x, Math.sqrt(1 - alpha));
    const denominator = alpha * Math.sqrt(1 - alphaPrevious) + Math.sqrt(alpha * (1 - alpha) * alphaPrevious);
    return x
      .times(Math.sqrt(alphaPrevious / alpha))
      .plus(epsilon, -(alphaPrevious - alpha) / denominator)
      .toTensor();
  }
}
