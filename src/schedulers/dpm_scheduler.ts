/** What the DPM-Solver classes share: the choice of algorithm, the conversion of a model's output, the noise. */
import type { Tensor } from "../tensor/tensor.js";
import { BETA_DEFAULTS } from "./betas.js";
import { oneOf, translated, type Choice } from "./config.js";
import {
  checkFinalSigmas,
  DPM_ALGORITHMS,
  DPM_SOLVERS,
  isStochastic,
  predictsData,
  type DPMAlgorithm,
  type DPMSolver,
} from "./dpm_formulas.js";
import type { Variance } from "./ddpm_formulas.js";
import type { Linear } from "./linear.js";
import { drawNoise } from "./noise.js";
import type { Prediction } from "./prediction.js";
import type { StepOptions } from "./scheduler.js";
import { SolverScheduler, type SolverConfig } from "./solver_scheduler.js";

/** The keys that all of them have. */
export const DPM_DEFAULTS = {
  ...BETA_DEFAULTS,
  solver_order: 2,
  prediction_type: "epsilon" as Choice<Prediction>,
  thresholding: false,
  dynamic_thresholding_ratio: 0.995,
  sample_max_value: 1.0,
  algorithm_type: "dpmsolver++" as Choice<DPMAlgorithm | "deis">,
  solver_type: "midpoint" as Choice<DPMSolver | "logrho" | "bh1" | "bh2">,
  lower_order_final: true,
  use_karras_sigmas: false,
  use_exponential_sigmas: false,
  use_beta_sigmas: false,
  use_flow_sigmas: false,
  flow_shift: 1.0,
  lambda_min_clipped: -Infinity,
  variance_type: null as Choice<Variance> | null,
};

export interface DPMConfig extends SolverConfig {
  readonly solver_order: number;
  readonly algorithm_type: string;
  readonly solver_type: string;
  readonly final_sigmas_type?: string;
}

export abstract class DPMScheduler<C extends DPMConfig = DPMConfig> extends SolverScheduler<C> {
  /** In what diffusers draws a step's noise where it is not the dtype of the model's output. */
  protected readonly noiseDType: "float32" | undefined = undefined;

  constructor(options: object, algorithms: readonly DPMAlgorithm[] = DPM_ALGORITHMS) {
    super(options);
    const { className, config } = this;
    const algorithm_type = translated(config.algorithm_type, ["deis"], "dpmsolver++");
    const solver_type = translated(config.solver_type, ["logrho", "bh1", "bh2"], "midpoint");
    oneOf(className, "algorithm_type", algorithm_type, algorithms);
    oneOf(className, "solver_type", solver_type, DPM_SOLVERS);
    if (!Number.isInteger(config.solver_order) || config.solver_order < 1 || config.solver_order > 3)
      throw new RangeError(`${className}: solver_order must be 1, 2 or 3, got ${config.solver_order}`);
    checkFinalSigmas(className, config);
    if (algorithm_type !== config.algorithm_type || solver_type !== config.solver_type)
      this.rewriteConfig({ algorithm_type, solver_type } as Partial<C>);
  }

  protected get algorithm(): DPMAlgorithm {
    return this.config.algorithm_type as DPMAlgorithm;
  }

  protected get solver(): DPMSolver {
    return this.config.solver_type as DPMSolver;
  }

  /** The level after the last step. */
  protected get finalLevel(): number {
    const type = oneOf(this.className, "final_sigmas_type", this.config.final_sigmas_type, ["zero", "sigma_min"]);
    return type === "zero" ? 0 : this.table[0];
  }

  /** x0 or the noise, whichever the algorithm works on. */
  protected convert(modelOutput: Tensor, sample: Tensor, index: number): Linear {
    return predictsData(this.algorithm)
      ? this.x0(modelOutput, sample, index)
      : this.epsilon(modelOutput, sample, index);
  }

  protected noiseFor(modelOutput: Tensor, { varianceNoise, generator }: StepOptions): Tensor | null {
    return isStochastic(this.algorithm) ? (varianceNoise ?? drawNoise(modelOutput, generator, this.noiseDType)) : null;
  }
}
