import type { Tensor } from "../../tensor/tensor.js";
import { BETA_DEFAULTS } from "../betas.js";
import { at, checkSet, checkShapes, checkSteps } from "../checks.js";
import { oneOf, translated, type Choice } from "../config.js";
import {
  DPM_SOLVERS,
  multistepOrder,
  multistepUpdate,
  predictsData,
  type DPMAlgorithm,
  type DPMSolver,
} from "../dpm_formulas.js";
import { convertToEpsilon, convertToX0, levelAt, type Level } from "../levels.js";
import type { UsualPrediction } from "../prediction.js";
import { spacedBelow, type Spacing } from "../spacing.js";
import {
  FlaxDiffusionScheduler,
  type CommonSchedulerState,
  type FlaxDiffusionState,
  type FlaxStepResult,
} from "./flax_diffusion_scheduler.js";
import { frozen } from "./flax_state.js";

const defaults = {
  ...BETA_DEFAULTS,
  solver_order: 2,
  prediction_type: "epsilon" as Choice<UsualPrediction>,
  thresholding: false,
  dynamic_thresholding_ratio: 0.995,
  sample_max_value: 1.0,
  algorithm_type: "dpmsolver++" as Choice<"dpmsolver" | "dpmsolver++">,
  solver_type: "midpoint" as Choice<DPMSolver | "logrho" | "bh1" | "bh2">,
  lower_order_final: true,
  timestep_spacing: "linspace" as Choice<Spacing>,
};
/** Keys of a FlaxDPMSolverMultistepScheduler's config, with diffusers' meaning and defaults. */
export type FlaxDPMSolverMultistepConfig = typeof defaults;

/** What FlaxDPMSolverMultistepScheduler knows of a run. Frozen plain data. */
export interface DPMSolverMultistepSchedulerState extends FlaxDiffusionState {
  /** x = alphaT x0 + sigmaT noise at each training timestep; lambdaT = ln(alphaT / sigmaT). */
  readonly alphaT: readonly number[];
  readonly sigmaT: readonly number[];
  readonly lambdaT: readonly number[];
  /** Converted outputs of the model, up to `solver_order`, the newest last. */
  readonly modelOutputs: readonly Tensor[];
  /** Steps done, up to `solver_order`. */
  readonly lowerOrderNums: number | null;
  /** The timestep that the last step led to; -1 before. */
  readonly prevTimestep: number | null;
}

/**
 * DPM-Solver and DPM-Solver++, multistep (Lu et al. 2022, arXiv 2211.01095), stateless. diffusers:
 * scheduling_dpmsolver_multistep_flax.py. As there, the last step leads to training timestep 0, not to a clean sample.
 * Other than there, thresholding takes `dynamic_thresholding_ratio` for the quantile that it is, and the spacing "leading"
 * works without a `steps_offset` in the config, which is then 0.
 */
export class FlaxDPMSolverMultistepScheduler extends FlaxDiffusionScheduler<
  FlaxDPMSolverMultistepConfig,
  DPMSolverMultistepSchedulerState
> {
  static override readonly className: string = "FlaxDPMSolverMultistepScheduler";
  static override readonly defaults = defaults;
  readonly #algorithm: DPMAlgorithm;
  readonly #solver: DPMSolver;

  constructor(options: Partial<FlaxDPMSolverMultistepConfig> = {}) {
    super(options);
    const { className, config } = this;
    this.#algorithm = oneOf(className, "algorithm_type", config.algorithm_type, ["dpmsolver", "dpmsolver++"]);
    this.#solver = oneOf(
      className,
      "solver_type",
      translated(config.solver_type, ["logrho", "bh1", "bh2"], "midpoint"),
      DPM_SOLVERS,
    );
    if (![1, 2, 3].includes(config.solver_order))
      throw new RangeError(`${className}: solver_order must be 1, 2 or 3, got ${config.solver_order}`);
  }

  createState(common: CommonSchedulerState = this.makeCommon()): DPMSolverMultistepSchedulerState {
    const levels = common.alphasCumprod.map(levelAt);
    return frozen({
      common,
      initNoiseSigma: 1,
      timesteps: this.allTimesteps(common),
      numInferenceSteps: null,
      alphaT: levels.map(({ alpha }) => alpha),
      sigmaT: levels.map(({ sigma }) => sigma),
      lambdaT: levels.map(({ lambda }) => lambda),
      modelOutputs: [],
      lowerOrderNums: null,
      prevTimestep: null,
    });
  }

  setTimesteps(
    state: DPMSolverMultistepSchedulerState,
    numInferenceSteps: number,
    _shape?: readonly number[],
  ): DPMSolverMultistepSchedulerState {
    const { className, config } = this;
    const n = checkSteps(this, numInferenceSteps);
    const { steps_offset: hidden } = config as { steps_offset?: unknown };
    const spacing = { ...config, steps_offset: typeof hidden === "number" ? hidden : 0 };
    return this.replace(state, {
      numInferenceSteps: n,
      timesteps: spacedBelow(className, spacing, n),
      modelOutputs: [],
      lowerOrderNums: 0,
      prevTimestep: -1,
    });
  }

  step(
    state: DPMSolverMultistepSchedulerState,
    modelOutput: Tensor,
    timestep: number,
    sample: Tensor,
  ): FlaxStepResult<DPMSolverMultistepSchedulerState> {
    const { config } = this;
    checkSet(this.className, state.numInferenceSteps);
    // As in diffusers a timestep off the schedule is a first one, but for the level of the model's output.
    const index = Math.max(0, state.timesteps.indexOf(timestep));
    checkShapes(this.className, modelOutput, sample);
    const { timesteps, modelOutputs } = state;
    const position = { index, steps: timesteps.length, remembered: modelOutputs.length, endsAtZero: false };
    const order = multistepOrder({ ...config, euler_at_final: false }, position);
    const prevTimestep = timesteps[index + 1] ?? 0;
    // Before the first timestep comes the last, as JAX counts: seen after a step off the schedule only.
    const earlier = Array.from({ length: order }, (_, k) => timesteps.at(index - k) ?? 0);
    const levels = [prevTimestep, ...earlier].map((t) => this.#level(state, t));
    return sample.device.scope(() => {
      const converted = this.#convert(this.#level(state, timestep), modelOutput, sample).toTensor();
      const outputs = [...modelOutputs, converted].slice(-config.solver_order);
      const method = { algorithm: this.#algorithm, solver: this.#solver, order };
      const update = multistepUpdate(method, levels, [...outputs].reverse(), { x: sample, noise: null });
      const lowerOrderNums = Math.min((state.lowerOrderNums ?? 0) + 1, config.solver_order);
      const next = this.replace(state, { modelOutputs: outputs, lowerOrderNums, prevTimestep });
      return { prevSample: update.toTensor(), state: next };
    });
  }

  #level({ alphaT, sigmaT, lambdaT }: DPMSolverMultistepSchedulerState, t: number): Level {
    const [alpha, sigma, lambda] = [alphaT, sigmaT, lambdaT].map((table) => at(this.className, table, t));
    return { alpha, sigma, lambda };
  }

  /** x0 or the noise, whichever the algorithm works on. */
  #convert({ alpha, sigma }: Level, modelOutput: Tensor, sample: Tensor): ReturnType<typeof convertToX0> {
    const { thresholding, dynamic_thresholding_ratio, sample_max_value, prediction_type: predictionType } = this.config;
    const clip = { thresholding, dynamic_thresholding_ratio, sample_max_value };
    const convert = predictsData(this.#algorithm) ? convertToX0 : convertToEpsilon;
    return convert(this.className, { predictionType, alpha, sigma, clip }, modelOutput, sample);
  }
}
