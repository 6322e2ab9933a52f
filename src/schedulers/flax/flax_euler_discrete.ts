import type { Tensor } from "../../tensor/tensor.js";
import { BETA_DEFAULTS } from "../betas.js";
import { checkShapes, checkSteps } from "../checks.js";
import type { Choice } from "../config.js";
import { Linear } from "../linear.js";
import { sigmaPrediction } from "../prediction.js";
import { eulerUpdate } from "../sigma_formulas.js";
import type { Spacing } from "../spacing.js";
import type { CommonSchedulerState, FlaxStepResult } from "./flax_diffusion_scheduler.js";
import { FlaxSigmasScheduler, type FlaxSigmasState } from "./flax_sigmas_scheduler.js";
import { frozen } from "./flax_state.js";

const defaults = {
  ...BETA_DEFAULTS,
  prediction_type: "epsilon" as Choice<(typeof PREDICTIONS)[number]>,
  timestep_spacing: "linspace" as Choice<Spacing>,
};
/** Keys of a FlaxEulerDiscreteScheduler's config, with diffusers' meaning and defaults. */
export type FlaxEulerDiscreteConfig = typeof defaults;
const PREDICTIONS = ["epsilon", "v_prediction"] as const;

/** Of the spacing "leading", whatever the config's `steps_offset` says; 1 is what Stable Diffusion's configs have. */
const OFFSET = 1;

/** What FlaxEulerDiscreteScheduler knows of a run. Frozen plain data. */
export type EulerDiscreteSchedulerState = FlaxSigmasState;

/**
 * Euler's method (Karras et al. 2022, arXiv 2206.00364, algorithm 2), stateless. diffusers:
 * scheduling_euler_discrete_flax.py; the spacing "trailing", which that lacks, is that of the stateful class.
 */
export class FlaxEulerDiscreteScheduler extends FlaxSigmasScheduler<
  FlaxEulerDiscreteConfig,
  EulerDiscreteSchedulerState
> {
  static override readonly className: string = "FlaxEulerDiscreteScheduler";
  static override readonly defaults = defaults;

  constructor(options: Partial<FlaxEulerDiscreteConfig> = {}) {
    super(options);
  }

  createState(common: CommonSchedulerState = this.makeCommon()): EulerDiscreteSchedulerState {
    return frozen({ common, numInferenceSteps: null, ...this.#schedule(common, this.allTimesteps(common)) });
  }

  setTimesteps(
    state: EulerDiscreteSchedulerState,
    numInferenceSteps: number,
    _shape?: readonly number[],
  ): EulerDiscreteSchedulerState {
    const n = checkSteps(this, numInferenceSteps);
    const timesteps = this.spaced(this.config.timestep_spacing, OFFSET, n);
    return this.replace(state, { numInferenceSteps: n, ...this.#schedule(state.common, timesteps) });
  }

  #schedule(
    common: CommonSchedulerState,
    timesteps: number[],
  ): Pick<EulerDiscreteSchedulerState, "initNoiseSigma" | "timesteps" | "sigmas"> {
    const sigmas = this.levelsAt(common, timesteps);
    const max = sigmas.reduce((a, b) => Math.max(a, b));
    const leading = this.config.timestep_spacing === "leading";
    return { timesteps, sigmas, initNoiseSigma: leading ? Math.sqrt(max ** 2 + 1) : max };
  }

  step(
    state: EulerDiscreteSchedulerState,
    modelOutput: Tensor,
    timestep: number,
    sample: Tensor,
  ): FlaxStepResult<EulerDiscreteSchedulerState> {
    const { className, config } = this;
    const index = this.indexOf(state, timestep);
    checkShapes(className, modelOutput, sample);
    const [from, to] = [state.sigmas[index], state.sigmas[index + 1]];
    const x = Linear.of(sample);
    const x0 = sigmaPrediction(className, config.prediction_type, modelOutput, x, { sigma: from, known: PREDICTIONS });
    return { prevSample: eulerUpdate(x, x0, { from, to }).toTensor(), state };
  }
}
