import type { Tensor } from "../../tensor/tensor.js";
import { BETA_DEFAULTS } from "../betas.js";
import { checkShapes, checkSteps } from "../checks.js";
import type { Choice } from "../config.js";
import { Linear } from "../linear.js";
import { sigmaPrediction } from "../prediction.js";
import { checkOrder, derivative, LMS_ORDER, lmsCoefficient, lmsUpdate } from "../sigma_formulas.js";
import type { CommonSchedulerState, FlaxStepOptions, FlaxStepResult } from "./flax_diffusion_scheduler.js";
import { FlaxSigmasScheduler, type FlaxSigmasState } from "./flax_sigmas_scheduler.js";
import { frozen } from "./flax_state.js";

const defaults = { ...BETA_DEFAULTS, prediction_type: "epsilon" as Choice<(typeof PREDICTIONS)[number]> };
/** Keys of a FlaxLMSDiscreteScheduler's config, with diffusers' meaning and defaults. */
export type FlaxLMSDiscreteConfig = typeof defaults;
const PREDICTIONS = ["epsilon", "v_prediction"] as const;

/** What FlaxLMSDiscreteScheduler knows of a run. Frozen plain data. */
export interface LMSDiscreteSchedulerState extends FlaxSigmasState {
  /** Derivatives of the last steps, the newest last. */
  readonly derivatives: readonly Tensor[];
}

/**
 * Linear multistep method over the derivatives (k-diffusion, sample_lms), stateless. diffusers: scheduling_lms_discrete_flax.py,
 * which indexes its levels by timestep and so never gave a picture; here it steps as the stateful class does.
 */
export class FlaxLMSDiscreteScheduler extends FlaxSigmasScheduler<FlaxLMSDiscreteConfig, LMSDiscreteSchedulerState> {
  static override readonly className: string = "FlaxLMSDiscreteScheduler";
  static override readonly defaults = defaults;

  constructor(options: Partial<FlaxLMSDiscreteConfig> = {}) {
    super(options);
  }

  createState(common: CommonSchedulerState = this.makeCommon()): LMSDiscreteSchedulerState {
    const timesteps = this.allTimesteps(common);
    const sigmas = this.levelsAt(common, timesteps);
    const initNoiseSigma = Math.max(...sigmas);
    return frozen({ common, initNoiseSigma, timesteps, numInferenceSteps: null, sigmas, derivatives: [] });
  }

  setTimesteps(
    state: LMSDiscreteSchedulerState,
    numInferenceSteps: number,
    _shape?: readonly number[],
  ): LMSDiscreteSchedulerState {
    const n = checkSteps(this, numInferenceSteps);
    const timesteps = this.spaced("linspace", 0, n);
    const sigmas = this.levelsAt(state.common, timesteps);
    return this.replace(state, { numInferenceSteps: n, timesteps, sigmas, derivatives: [] });
  }

  /** The weight of the derivative of `currentOrder` steps ago in step `t` (an index of the schedule). */
  getLmsCoefficient(state: LMSDiscreteSchedulerState, order: number, t: number, currentOrder: number): number {
    return lmsCoefficient(state.sigmas, order, t, currentOrder);
  }

  step(
    state: LMSDiscreteSchedulerState,
    modelOutput: Tensor,
    timestep: number,
    sample: Tensor,
    { order = LMS_ORDER }: FlaxStepOptions = {},
  ): FlaxStepResult<LMSDiscreteSchedulerState> {
    const { className, config } = this;
    const index = this.indexOf(state, timestep);
    checkShapes(className, modelOutput, sample);
    checkOrder(className, order);
    const { sigmas } = state;
    return sample.device.scope(() => {
      const x = Linear.of(sample);
      const at = { sigma: sigmas[index], known: PREDICTIONS };
      const x0 = sigmaPrediction(className, config.prediction_type, modelOutput, x, at);
      const newest = derivative(x, x0, sigmas[index]).toTensor();
      const derivatives = [...state.derivatives, newest].slice(-order);
      const prevSample = lmsUpdate({ sigmas, index, order }, x, [...derivatives].reverse()).toTensor();
      return { prevSample, state: this.replace(state, { derivatives }) };
    });
  }
}
