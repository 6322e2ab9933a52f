import { roundHalfEven } from "../tensor/round.js";
import type { Tensor } from "../tensor/tensor.js";
import { BETA_DEFAULTS } from "./betas.js";
import { checkScheduleOptions, checkShapes, checkSteps, given } from "./checks.js";
import { oneOf, translated, type Choice } from "./config.js";
import type { DPMSolver } from "./dpm_formulas.js";
import { History, Slot } from "./history.js";
import type { Linear } from "./linear.js";
import { predictEpsilon, type Prediction } from "./prediction.js";
import { KARRAS_SCHEDULERS, type ScheduleOptions, type StepOptions, type StepResult } from "./scheduler.js";
import { checkStepOptions } from "./step_options.js";
import { sigmaShape } from "./sigmas.js";
import { SolverScheduler } from "./solver_scheduler.js";
import { linspace64, type Spacing } from "./spacing.js";
import { correctStep, predictStep, type UniOptions, type UniStep } from "./unipc_formulas.js";

const defaults = {
  ...BETA_DEFAULTS,
  solver_order: 2,
  prediction_type: "epsilon" as Choice<Prediction>,
  thresholding: false,
  dynamic_thresholding_ratio: 0.995,
  sample_max_value: 1.0,
  predict_x0: true,
  solver_type: "bh2" as Choice<DPMSolver | "logrho" | "bh1" | "bh2">,
  lower_order_final: true,
  disable_corrector: [] as readonly number[],
  solver_p: null,
  use_karras_sigmas: false,
  use_exponential_sigmas: false,
  use_beta_sigmas: false,
  use_flow_sigmas: false,
  flow_shift: 1.0,
  timestep_spacing: "linspace" as Choice<Spacing>,
  steps_offset: 0,
  final_sigmas_type: "zero" as Choice<"zero" | "sigma_min">,
  rescale_betas_zero_snr: false,
  use_dynamic_shifting: false,
  time_shift_type: "exponential" as Choice<"exponential" | "linear">,
  sigma_min: null as number | null,
  sigma_max: null as number | null,
  shift_terminal: null as number | null,
};
/** Keys of a UniPCMultistepScheduler's config, with diffusers' meaning and defaults. */
export type UniPCMultistepConfig = typeof defaults;

/** Unified predictor-corrector (Zhao et al. 2023, arXiv 2302.04867). diffusers: scheduling_unipc_multistep.py */
export class UniPCMultistepScheduler extends SolverScheduler<UniPCMultistepConfig> {
  static override readonly className: string = "UniPCMultistepScheduler";
  static override readonly defaults = defaults;
  static override readonly compatibleNames = KARRAS_SCHEDULERS;
  static override readonly customSchedules = ["sigmas", "mu"] as const;
  readonly #outputs = new History(this.config.solver_order);
  readonly #last = new Slot();
  /** Order of the last step, which is the corrector's. */
  #order = 1;

  constructor(options: Partial<UniPCMultistepConfig> = {}) {
    super(options);
    const { className, config } = this;
    if (config.shift_terminal !== null && !config.use_flow_sigmas)
      throw new RangeError(
        `${className}: shift_terminal needs use_flow_sigmas, got ${config.shift_terminal} without it`,
      );
    if (config.solver_p !== null) throw new RangeError(`${className}: solver_p is not supported, use null`);
    if (!Number.isInteger(config.solver_order) || config.solver_order < 1)
      throw new RangeError(
        `${className}: solver_order must be a whole number of at least 1, got ${config.solver_order}`,
      );
    const solver_type = translated(config.solver_type, ["midpoint", "heun", "logrho"], "bh2");
    oneOf(className, "solver_type", solver_type, ["bh1", "bh2"]);
    if (solver_type !== config.solver_type) this.rewriteConfig({ solver_type });
  }

  /** @param options `sigmas` (with `use_flow_sigmas`), `mu` (with `use_dynamic_shifting`) */
  setTimesteps(numInferenceSteps: number | null, options: ScheduleOptions = {}): void {
    const { className, config } = this;
    options = checkScheduleOptions(className, UniPCMultistepScheduler.customSchedules, options);
    const { sigmas, mu } = options;
    const shape = sigmaShape(className, config);
    if (config.use_dynamic_shifting && !given(mu))
      throw new RangeError(`${className}.setTimesteps: use_dynamic_shifting needs mu`);
    if (sigmas && (!config.use_flow_sigmas || shape))
      throw new RangeError(`${className}.setTimesteps: sigmas needs use_flow_sigmas, and no other shape of sigmas`);
    const n = checkSteps(this, sigmas?.length ?? numInferenceSteps);
    const final = oneOf(className, "final_sigmas_type", config.final_sigmas_type, ["zero", "sigma_min"]);
    const { times, levels } = this.#schedule(n, mu, sigmas);
    const smallest = shape || config.use_flow_sigmas ? levels[levels.length - 1] : this.table[0];
    this.begin(times, [...levels, final === "zero" ? 0 : smallest]);
  }

  #schedule(n: number, mu?: number, sigmas?: readonly number[]): { times: number[]; levels: number[] } {
    const { config } = this;
    const shaped = this.shaped(n);
    if (shaped && config.use_karras_sigmas) {
      if (!config.use_flow_sigmas) return { ...shaped, times: shaped.times.map(roundHalfEven) };
      const levels = shaped.levels.map((sigma) => sigma / (sigma + 1));
      return { times: levels.map((sigma) => sigma * config.num_train_timesteps), levels };
    }
    if (shaped) return shaped;
    if (config.use_flow_sigmas) return this.#flow(n, mu, sigmas);
    const times = this.spacedBelow(config, n);
    return { times, levels: this.levelsAt(times) };
  }

  #flow(n: number, mu?: number, sigmas?: readonly number[]): { times: number[]; levels: number[] } {
    const { num_train_timesteps: train, use_dynamic_shifting, flow_shift, shift_terminal } = this.config;
    let levels = (sigmas ?? linspace64(1, 1 / train, n + 1).slice(0, -1)).map((sigma) =>
      use_dynamic_shifting ? this.#shifted(mu ?? 0, sigma) : (flow_shift * sigma) / (1 + (flow_shift - 1) * sigma),
    );
    if (shift_terminal) {
      const stretch = (1 - levels[levels.length - 1]) / (1 - shift_terminal);
      levels = levels.map((sigma) => 1 - (1 - sigma) / stretch);
    }
    // At 1 the logarithm of alpha would be infinite.
    if (Math.abs(levels[0] - 1) < 1e-6) levels[0] -= 1e-6;
    return { times: levels.map((sigma) => sigma * train), levels };
  }

  #shifted(mu: number, sigma: number): number {
    const type = oneOf(this.className, "time_shift_type", this.config.time_shift_type, ["exponential", "linear"]);
    const shift = type === "exponential" ? Math.exp(mu) : mu;
    return shift / (shift + (1 / sigma - 1));
  }

  override reset(): void {
    super.reset();
    this.#outputs.clear();
    this.#last.clear();
  }

  get #options(): UniOptions {
    return { solver: this.config.solver_type as "bh1" | "bh2", predictsData: this.config.predict_x0 };
  }

  step(modelOutput: Tensor, timestep: number, sample: Tensor, options?: StepOptions | null): StepResult {
    checkStepOptions(this.className, options);
    const { className, config } = this;
    checkShapes(className, modelOutput, sample);
    const index = this.indexOfStep(timestep);
    const last = this.#last.value;
    const result = sample.device.scope(() => {
      const output = this.#convert(modelOutput, sample, index).toTensor();
      const corrects = index > 0 && last !== null && !config.disable_corrector.includes(index - 1);
      const corrected = corrects ? correctStep(this.#step(index, last), output, this.#options).toTensor() : sample;
      const most = config.lower_order_final ? this.timesteps.length - index : Infinity;
      this.#order = Math.min(config.solver_order, most, this.#outputs.length + 1);
      this.#outputs.adopt(output);
      const x = this.#last.set(corrected);
      return { prevSample: predictStep(this.#step(index + 1, x), this.#options).toTensor() };
    });
    this.advance();
    return result;
  }

  #convert(modelOutput: Tensor, sample: Tensor, index: number): Linear {
    if (this.config.predict_x0) return this.x0(modelOutput, sample, index);
    return predictEpsilon(this.className, this.config.prediction_type, modelOutput, sample, this.level(index));
  }

  /** The step that leads to point `to` of the schedule. */
  #step(to: number, x: Tensor): UniStep {
    const earlier = Array.from({ length: this.#order - 1 }, (_, i) => this.level(to - 2 - i));
    const outputs = Array.from({ length: this.#order }, (_, i) => this.#outputs.at(-1 - i));
    return { from: this.level(to - 1), to: this.level(to), earlier, outputs, x };
  }
}
