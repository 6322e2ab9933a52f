import type { Tensor } from "../tensor/tensor.js";
import { linspace } from "./betas.js";
import { checkScheduleOptions, checkShapes, checkSteps, checkTrainTimesteps } from "./checks.js";
import { oneOf, translated, type Choice } from "./config.js";
import {
  checkFinalSigmas,
  DPM_SOLVERS,
  isStochastic,
  multistepOrder,
  multistepUpdate,
  type DPMAlgorithm,
  type DPMSolver,
} from "./dpm_formulas.js";
import { EDM_DEFAULTS, EDMScheduler } from "./edm_scheduler.js";
import { History } from "./history.js";
import { Linear } from "./linear.js";
import { drawNoise } from "./noise.js";
import { boundedX0, linear } from "./prediction.js";
import type { ScheduleOptions, StepOptions, StepResult } from "./scheduler.js";
import { checkStepOptions } from "./step_options.js";
import type { Level } from "./levels.js";

const defaults = {
  ...EDM_DEFAULTS,
  solver_order: 2,
  thresholding: false,
  dynamic_thresholding_ratio: 0.995,
  sample_max_value: 1.0,
  algorithm_type: "dpmsolver++" as Choice<"dpmsolver++" | "sde-dpmsolver++" | "deis">,
  solver_type: "midpoint" as Choice<DPMSolver | "logrho" | "bh1" | "bh2">,
  lower_order_final: true,
  euler_at_final: false,
};
/** Keys of an EDMDPMSolverMultistepScheduler's config, with diffusers' meaning and defaults. */
export type EDMDPMSolverMultistepConfig = typeof defaults;

/** DPM-Solver++ in EDM's formulation (Lu et al. 2022, arXiv 2211.01095). diffusers: scheduling_edm_dpmsolver_multistep.py */
export class EDMDPMSolverMultistepScheduler extends EDMScheduler<EDMDPMSolverMultistepConfig> {
  static override readonly className: string = "EDMDPMSolverMultistepScheduler";
  static override readonly defaults = defaults;
  protected override readonly needsSetTimesteps = true;
  protected override readonly offSchedule = "last";
  readonly #outputs = new History(this.config.solver_order);

  constructor(options: Partial<EDMDPMSolverMultistepConfig> = {}) {
    super(options);
    const { className, config } = this;
    const algorithm_type = translated(config.algorithm_type, ["deis"], "dpmsolver++");
    const solver_type = translated(config.solver_type, ["logrho", "bh1", "bh2"], "midpoint");
    oneOf(className, "algorithm_type", algorithm_type, ["dpmsolver++", "sde-dpmsolver++"]);
    oneOf(className, "solver_type", solver_type, DPM_SOLVERS);
    if (![1, 2, 3].includes(config.solver_order))
      throw new RangeError(`${className}: solver_order must be 1, 2 or 3, got ${config.solver_order}`);
    checkFinalSigmas(className, config);
    if (algorithm_type !== config.algorithm_type || solver_type !== config.solver_type)
      this.rewriteConfig({ algorithm_type, solver_type });
    this.setTimesteps(checkTrainTimesteps(this.className, config.num_train_timesteps));
    this.numInferenceSteps = null;
  }

  setTimesteps(numInferenceSteps: number | null, options: ScheduleOptions = {}): void {
    checkScheduleOptions(this.className, EDMDPMSolverMultistepScheduler.customSchedules, options);
    const n = checkSteps(this, numInferenceSteps);
    this.begin(this.levelsOf(linspace(0, 1, n), Math.fround), this.config.sigma_min);
    this.numInferenceSteps = n;
  }

  override reset(): void {
    super.reset();
    this.#outputs.clear();
  }

  #level(index: number): Level {
    const sigma = this.sigmas[index];
    return { alpha: 1, sigma, lambda: -Math.fround(Math.log(sigma)) };
  }

  step(modelOutput: Tensor, timestep: number, sample: Tensor, options?: StepOptions | null): StepResult {
    const { generator, varianceNoise } = checkStepOptions(this.className, options);
    const { className, config } = this;
    checkShapes(className, modelOutput, sample);
    const index = this.indexOfStep(timestep);
    const algorithm = config.algorithm_type as DPMAlgorithm;
    const solver = config.solver_type as DPMSolver;
    const at = { index, steps: this.timesteps.length, remembered: this.#outputs.length };
    const order = multistepOrder(config, { ...at, endsAtZero: config.final_sigmas_type === "zero" });
    const result = sample.device.scope(() => {
      const guess = this.denoised(Linear.of(sample), modelOutput, this.sigmas[index]);
      this.#outputs.push(config.thresholding ? linear(boundedX0(guess, config)) : guess);
      const noise = isStochastic(algorithm) ? (varianceNoise ?? drawNoise(modelOutput, generator)) : null;
      const levels = Array.from({ length: order + 1 }, (_, k) => this.#level(index + 1 - k));
      const update = multistepUpdate({ algorithm, solver, order }, levels, this.#outputs.newestFirst, {
        x: sample,
        noise,
      });
      return { prevSample: update.toTensor() };
    });
    this.advance();
    return result;
  }
}
