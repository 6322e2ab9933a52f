import type { Tensor } from "../tensor/tensor.js";
import { AlphasScheduler } from "./alphas_scheduler.js";
import { BETA_DEFAULTS } from "./betas.js";
import { checkScheduleOptions, checkShapes, checkSteps } from "./checks.js";
import type { Choice } from "./config.js";
import { History, Slot } from "./history.js";
import {
  linearMultistep,
  PNDM_ORDER,
  pndmPreviousSample,
  pndmStride,
  pndmTimesteps,
  rungeKutta,
  type PNDMEvaluation,
} from "./pndm_formulas.js";
import { KARRAS_SCHEDULERS, type ScheduleOptions, type StepOptions, type StepResult } from "./scheduler.js";
import { checkStepOptions } from "./step_options.js";
import type { Spacing } from "./spacing.js";

const defaults = {
  ...BETA_DEFAULTS,
  skip_prk_steps: false,
  set_alpha_to_one: false,
  prediction_type: "epsilon" as Choice<"epsilon" | "v_prediction">,
  timestep_spacing: "leading" as Choice<Spacing>,
  steps_offset: 0,
};
/** Keys of a PNDMScheduler's config, with diffusers' meaning and defaults. */
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
  readonly #outputs = new History(PNDM_ORDER);
  readonly #start = new Slot();
  readonly #sum = new Slot();

  constructor(options: Partial<PNDMConfig> = {}) {
    super(options);
    this.finalAlphaCumprod = this.config.set_alpha_to_one ? 1 : this.alphasCumprod[0];
  }

  /** n steps run the model n + 1 times (PLMS: the second timestep comes twice), or n + 9 times with Runge-Kutta. */
  setTimesteps(numInferenceSteps: number | null, options: ScheduleOptions = {}): void {
    checkScheduleOptions(this.className, PNDMScheduler.customSchedules, options);
    const n = checkSteps(this, numInferenceSteps);
    const { prk, plms } = pndmTimesteps(this.className, this.config, n);
    this.prkTimesteps = prk;
    this.plmsTimesteps = plms;
    this.timesteps = [...prk, ...plms];
    this.numInferenceSteps = n;
    this.reset();
  }

  override reset(): void {
    this.counter = 0;
    for (const memory of [this.#outputs, this.#start, this.#sum]) memory.clear();
  }

  /** `stepPrk` while Runge-Kutta timesteps are left, then `stepPlms`. */
  step(modelOutput: Tensor, timestep: number, sample: Tensor, options?: StepOptions | null): StepResult {
    checkStepOptions(this.className, options);
    return this.counter < this.prkTimesteps.length && !this.config.skip_prk_steps
      ? this.stepPrk(modelOutput, timestep, sample)
      : this.stepPlms(modelOutput, timestep, sample);
  }

  /** One of the four evaluations of a pseudo Runge-Kutta step, formula (13). */
  stepPrk(modelOutput: Tensor, timestep: number, sample: Tensor): StepResult {
    const n = this.stepsSet;
    checkShapes(this.className, modelOutput, sample);
    if (this.counter >= this.prkTimesteps.length)
      throw new Error(`${this.className}.stepPrk: no Runge-Kutta timestep is left, ${this.counter} steps are done`);
    const at = {
      counter: this.counter,
      prk: this.prkTimesteps,
      ...this.#stride(n),
      start: this.#start.value,
      sum: this.#sum.value,
    };
    const prevSample = sample.device.scope(() => {
      const { sum, ...evaluation } = rungeKutta(at, modelOutput, timestep, sample);
      const result = this.#previousSample(evaluation);
      if (at.counter % 4 === 0) {
        this.#outputs.push(modelOutput);
        this.#start.set(sample);
      }
      if (sum) this.#sum.set(sum);
      return result;
    });
    if (at.counter % 4 === 3) this.#sum.clear();
    this.counter++;
    return { prevSample };
  }

  /** A step of the pseudo linear multistep method over up to four outputs, formula (12). */
  stepPlms(modelOutput: Tensor, timestep: number, sample: Tensor): StepResult {
    const n = this.stepsSet;
    checkShapes(this.className, modelOutput, sample);
    if (!this.config.skip_prk_steps && this.#outputs.length < 3)
      throw new Error(
        `${this.className}.stepPlms: runs after 12 steps of stepPrk, got ${this.counter}; or set skip_prk_steps`,
      );
    const { counter } = this;
    const at = {
      counter,
      ...this.#stride(n),
      outputs: this.#outputs.newestFirst,
      start: this.#start.value,
    };
    const prevSample = sample.device.scope(() => {
      const result = this.#previousSample(linearMultistep(at, modelOutput, timestep, sample));
      if (counter !== 1) this.#outputs.push(modelOutput);
      if (counter === 0 && at.outputs.length === 0) this.#start.set(sample);
      return result;
    });
    if (counter === 1) this.#start.clear();
    this.counter++;
    return { prevSample };
  }

  #stride(n: number): { whole: number; half: number } {
    return pndmStride(this.config.num_train_timesteps, n);
  }

  #previousSample(evaluation: PNDMEvaluation): Tensor {
    const { from, to } = evaluation;
    const alphas = {
      alpha: this.alphaAt(from),
      alphaPrevious: to < 0 ? this.finalAlphaCumprod : this.alphaAt(to),
    };
    return pndmPreviousSample(this.className, this.config.prediction_type, alphas, evaluation);
  }
}
