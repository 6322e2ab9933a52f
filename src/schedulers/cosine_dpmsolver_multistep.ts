import { Generator } from "../tensor/random.js";
import { Tensor } from "../tensor/tensor.js";
import { linspace } from "./betas.js";
import { brownianNoise, type NoiseSampler } from "./brownian.js";
import { checkScheduleOptions, checkShapes, checkSteps, checkTrainTimesteps } from "./checks.js";
import { oneOf, translated, type Choice } from "./config.js";
import { DPM_SOLVERS, multistepOrder, multistepUpdate, type DPMSolver } from "./dpm_formulas.js";
import { EDM_DEFAULTS, EDMScheduler } from "./edm_scheduler.js";
import { History } from "./history.js";
import type { Level } from "./levels.js";
import { Linear } from "./linear.js";
import { HalfNoise } from "./noise.js";
import type { ScheduleOptions, StepOptions, StepResult } from "./scheduler.js";
import { checkStepOptions } from "./step_options.js";

const f32 = Math.fround;

const defaults = {
  ...EDM_DEFAULTS,
  sigma_min: 0.3,
  sigma_max: 500,
  sigma_data: 1.0,
  sigma_schedule: "exponential" as Choice<"karras" | "exponential">,
  num_train_timesteps: 1000,
  solver_order: 2,
  prediction_type: "v_prediction" as Choice<"epsilon" | "v_prediction">,
  rho: 7.0,
  solver_type: "midpoint" as Choice<DPMSolver | "logrho" | "bh1" | "bh2">,
  lower_order_final: true,
  euler_at_final: false,
  final_sigmas_type: "zero" as Choice<"zero" | "sigma_min">,
};
/** Keys of a CosineDPMSolverMultistepScheduler's config, with diffusers' meaning and defaults. */
export type CosineDPMSolverMultistepConfig = typeof defaults;

/**
 * Stochastic DPM-Solver++ (Lu et al. 2022, arXiv 2211.01095) with noise from one Brownian path, as Stable Audio Open runs it (Evans et al.
 * 2024, arXiv 2407.14358). diffusers: scheduling_cosine_dpmsolver_multistep.py
 */
export class CosineDPMSolverMultistepScheduler extends EDMScheduler<CosineDPMSolverMultistepConfig> {
  static override readonly className: string = "CosineDPMSolverMultistepScheduler";
  static override readonly defaults = defaults;
  static override readonly intKeys = ["sigma_max"];
  protected override readonly needsSetTimesteps = true;
  protected override readonly offSchedule = "last";
  readonly #outputs = new History(this.config.solver_order);
  #noiseSampler: NoiseSampler | null = null;

  constructor(options: Partial<CosineDPMSolverMultistepConfig> = {}) {
    super(options);
    const { className, config } = this;
    const solver_type = translated(config.solver_type, ["logrho", "bh1", "bh2"], "midpoint");
    oneOf(className, "solver_type", solver_type, DPM_SOLVERS);
    if (![1, 2].includes(config.solver_order))
      throw new RangeError(`${className}: solver_order must be 1 or 2, got ${config.solver_order}`);
    if (config.final_sigmas_type === "sigma_min")
      throw new RangeError(
        `${className}: final_sigmas_type "sigma_min" ends in a step of no length, for which a Brownian path has no noise; use "zero"`,
      );
    if (solver_type !== config.solver_type) this.rewriteConfig({ solver_type });
    this.setTimesteps(checkTrainTimesteps(className, config.num_train_timesteps));
    this.numInferenceSteps = null;
  }

  setTimesteps(numInferenceSteps: number | null, options: ScheduleOptions = {}): void {
    checkScheduleOptions(this.className, CosineDPMSolverMultistepScheduler.customSchedules, options);
    const n = checkSteps(this, numInferenceSteps);
    this.begin(this.levelsOf(linspace(0, 1, n), f32), this.config.sigma_min);
    this.numInferenceSteps = n;
  }

  override reset(): void {
    super.reset();
    this.#outputs.clear();
    this.#noiseSampler = null;
  }

  /** What the model takes for the time: the angle of σ, as a part of a right one. */
  override preconditionNoise(sigma: number): number {
    return f32(f32(f32(Math.atan(sigma)) / f32(Math.PI)) * 2);
  }

  #level(index: number): Level {
    const sigma = this.sigmas[index];
    return { alpha: 1, sigma, lambda: -f32(Math.log(sigma)) };
  }

  /** @param options `generator`: of the first step its seed makes the path of the run; a list has one per sample */
  step(modelOutput: Tensor, timestep: number, sample: Tensor, options?: StepOptions | null): StepResult {
    const { generator } = checkStepOptions(this.className, options);
    const { className, config, sigmas } = this;
    checkShapes(className, modelOutput, sample);
    const index = this.indexOfStep(timestep);
    const endsAtZero = config.final_sigmas_type === "zero";
    const at = { index, steps: this.timesteps.length, remembered: this.#outputs.length, endsAtZero };
    const order = multistepOrder(config, at);
    const method = { algorithm: "sde-dpmsolver++", solver: config.solver_type as DPMSolver, order } as const;
    const ends = [f32(config.sigma_min), f32(config.sigma_max)] as const;
    this.#noiseSampler ??= brownianNoise(sample.shape, ends, this.#seedOf(generator));
    const drawn = this.#noiseSampler(sigmas[index], sigmas[index + 1]);
    const result = sample.device.scope(() => {
      this.#outputs.push(this.denoised(Linear.of(sample), modelOutput, sigmas[index]));
      const noise = Tensor.from(drawn, sample.shape, { device: sample.device });
      const levels = Array.from({ length: order + 1 }, (_, k) => this.#level(index + 1 - k));
      const update = multistepUpdate(method, levels, this.#outputs.newestFirst, { x: sample, noise });
      return { prevSample: update.toTensor() };
    });
    this.advance();
    return result;
  }

  #seedOf(generator: StepOptions["generator"]): number | bigint | (number | bigint)[] {
    if (!generator) return Math.floor(Math.random() * 2 ** 53);
    const seeds = [generator].flat().map((each) => {
      const source = each instanceof HalfNoise ? each.source : each;
      if (source instanceof Generator) return source.initialSeed();
      throw new TypeError(
        `${this.className}.step: \`generator\` must be a Generator, whose seed makes the Brownian path`,
      );
    });
    return Array.isArray(generator) ? seeds : seeds[0];
  }
}
