import { roundHalfEven } from "../tensor/round.js";
import type { Tensor } from "../tensor/tensor.js";
import { BETA_DEFAULTS } from "./betas.js";
import { checkScheduleOptions, checkShapes, checkSteps } from "./checks.js";
import { oneOf, translated, type Choice } from "./config.js";
import type { DPMSolver } from "./dpm_formulas.js";
import { History } from "./history.js";
import { Linear } from "./linear.js";
import type { Prediction } from "./prediction.js";
import { KARRAS_SCHEDULERS, type ScheduleOptions, type StepOptions, type StepResult } from "./scheduler.js";
import { checkStepOptions } from "./step_options.js";
import { SolverScheduler } from "./solver_scheduler.js";
import type { Spacing } from "./spacing.js";

const defaults = {
  ...BETA_DEFAULTS,
  solver_order: 2,
  prediction_type: "epsilon" as Choice<Prediction>,
  thresholding: false,
  dynamic_thresholding_ratio: 0.995,
  sample_max_value: 1.0,
  algorithm_type: "deis" as Choice<"deis" | "dpmsolver" | "dpmsolver++">,
  solver_type: "logrho" as Choice<DPMSolver | "logrho" | "bh1" | "bh2">,
  lower_order_final: true,
  use_karras_sigmas: false,
  use_exponential_sigmas: false,
  use_beta_sigmas: false,
  use_flow_sigmas: false,
  flow_shift: 1.0,
  timestep_spacing: "linspace" as Choice<Spacing>,
  steps_offset: 0,
  use_dynamic_shifting: false,
  time_shift_type: "exponential" as Choice<"exponential" | "linear">,
};
/** Keys of a DEISMultistepScheduler's config, with diffusers' meaning and defaults. */
export type DEISMultistepConfig = typeof defaults;

/**
 * ∫ over ρ of the Lagrange polynomial in ln ρ that is 1 at `nodes[0]` and 0 at the other nodes, from the first level to
 * `to`; for two or three nodes.
 */
function logRhoWeight(nodes: readonly number[], from: number, to: number): number {
  const [b, ...others] = nodes.map(Math.log);
  const denominator = others.reduce((product, other) => product * (b - other), 1);
  const [c, d] = others;
  const antiderivative = (t: number): number => {
    const l = Math.log(t);
    return others.length === 1 ? t * (l - c - 1) : t * (c * (d - l + 1) - d * l + d + l * l - 2 * l + 2);
  };
  return (antiderivative(to) - antiderivative(from)) / denominator;
}

/** Diffusion exponential integrator sampler, multistep in log ρ (Zhang & Chen 2022, arXiv 2204.13902). diffusers: scheduling_deis_multistep.py */
export class DEISMultistepScheduler extends SolverScheduler<DEISMultistepConfig> {
  static override readonly className: string = "DEISMultistepScheduler";
  static override readonly defaults = defaults;
  static override readonly compatibleNames = KARRAS_SCHEDULERS;
  static override readonly customSchedules = ["mu"] as const;
  readonly #outputs = new History(this.config.solver_order);

  constructor(options: Partial<DEISMultistepConfig> = {}) {
    super(options);
    const { className, config } = this;
    const algorithm_type = translated(config.algorithm_type, ["dpmsolver", "dpmsolver++"], "deis");
    const solver_type = translated(config.solver_type, ["midpoint", "heun", "bh1", "bh2"], "logrho");
    oneOf(className, "algorithm_type", algorithm_type, ["deis"]);
    oneOf(className, "solver_type", solver_type, ["logrho"]);
    if (!Number.isInteger(config.solver_order) || config.solver_order < 1 || config.solver_order > 3)
      throw new RangeError(`${className}: solver_order must be 1, 2 or 3, got ${config.solver_order}`);
    if (algorithm_type !== config.algorithm_type || solver_type !== config.solver_type)
      this.rewriteConfig({ algorithm_type, solver_type });
  }

  setTimesteps(numInferenceSteps: number | null, options: ScheduleOptions = {}): void {
    const { className, config } = this;
    options = checkScheduleOptions(className, DEISMultistepScheduler.customSchedules, options);
    const n = checkSteps(this, numInferenceSteps);
    const { times, levels } = this.#schedule(n, this.shiftFor(options.mu));
    const plain = !this.shaped(n) && !config.use_flow_sigmas;
    this.begin(times, [...levels, plain ? this.table[0] : levels[levels.length - 1]]);
  }

  #schedule(n: number, shift: number): { times: number[]; levels: number[] } {
    const shaped = this.shaped(n);
    if (shaped) return this.config.use_karras_sigmas ? { ...shaped, times: shaped.times.map(roundHalfEven) } : shaped;
    if (this.config.use_flow_sigmas) return this.flow(n, shift);
    const times = this.spacedBelow(this.config, n);
    return { times, levels: this.levelsAt(times) };
  }

  override reset(): void {
    super.reset();
    this.#outputs.clear();
  }

  step(modelOutput: Tensor, timestep: number, sample: Tensor, options?: StepOptions | null): StepResult {
    checkStepOptions(this.className, options);
    const { className, config } = this;
    checkShapes(className, modelOutput, sample);
    const index = this.indexOfStep(timestep);
    const lowers = config.lower_order_final && this.timesteps.length < 15;
    const most = lowers ? this.timesteps.length - index : 3;
    const order = Math.min(config.solver_order, this.#outputs.length + 1, most);
    const result = sample.device.scope(() => {
      const x = Linear.of(sample);
      const { alpha, sigma } = this.level(index);
      const x0 = this.x0(modelOutput, sample, index);
      this.#outputs.push(x.plus(x0, -alpha).times(1 / sigma));
      return { prevSample: this.#update(order, index, x).toTensor() };
    });
    this.advance();
    return result;
  }

  #update(order: number, index: number, x: Linear): Linear {
    const [to, from] = [this.level(index + 1), this.level(index)];
    const start = x.times(to.alpha / from.alpha);
    if (order === 1) return start.plus(this.#outputs.at(-1), -to.sigma * Math.expm1(to.lambda - from.lambda));
    const rho = ({ sigma, alpha }: { sigma: number; alpha: number }): number => sigma / alpha;
    const nodes = Array.from({ length: order }, (_, k) => rho(this.level(index - k)));
    return nodes.reduce((sum, node, k) => {
      const weight = logRhoWeight([node, ...nodes.filter((_, other) => other !== k)], nodes[0], rho(to));
      return sum.plus(this.#outputs.at(-1 - k), to.alpha * weight);
    }, start);
  }
}
