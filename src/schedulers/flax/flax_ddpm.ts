import type { Tensor } from "../../tensor/tensor.js";
import { BETA_DEFAULTS } from "../betas.js";
import { checkSteps } from "../checks.js";
import type { Choice } from "../config.js";
import { ddpmUpdate, type Variance } from "../ddpm_formulas.js";
import type { UsualPrediction } from "../prediction.js";
import { spacedTimesteps } from "../spacing.js";
import {
  drawFlaxNoise,
  FlaxDiffusionScheduler,
  type CommonSchedulerState,
  type FlaxDiffusionState,
  type FlaxStepOptions,
  type FlaxStepResult,
} from "./flax_diffusion_scheduler.js";
import { frozen } from "./flax_state.js";

const defaults = {
  ...BETA_DEFAULTS,
  variance_type: "fixed_small" as Choice<Variance>,
  clip_sample: true,
  prediction_type: "epsilon" as Choice<UsualPrediction>,
};
/** Keys of a FlaxDDPMScheduler's config, with diffusers' meaning and defaults. */
export type FlaxDDPMConfig = typeof defaults;

/** What FlaxDDPMScheduler knows of a run. Frozen plain data. */
export type DDPMSchedulerState = FlaxDiffusionState;

/**
 * Denoising diffusion probabilistic models (Ho et al. 2020, arXiv 2006.11239), stateless. diffusers: scheduling_ddpm_flax.py,
 * which always steps from t to t - 1, whatever the schedule; here a step leads to the next timestep of the schedule, as in
 * the stateful class, so that fewer steps than in training give pictures too. Off the schedule it leads to t - 1.
 */
export class FlaxDDPMScheduler extends FlaxDiffusionScheduler<FlaxDDPMConfig, DDPMSchedulerState> {
  static override readonly className: string = "FlaxDDPMScheduler";
  static override readonly defaults = defaults;

  constructor(options: Partial<FlaxDDPMConfig> = {}) {
    super(options);
  }

  createState(common: CommonSchedulerState = this.makeCommon()): DDPMSchedulerState {
    return frozen({ common, initNoiseSigma: 1, timesteps: this.allTimesteps(common), numInferenceSteps: null });
  }

  setTimesteps(state: DDPMSchedulerState, numInferenceSteps: number, _shape?: readonly number[]): DDPMSchedulerState {
    const n = checkSteps(this, numInferenceSteps);
    const { num_train_timesteps } = this.config;
    const spacing = { num_train_timesteps, timestep_spacing: "leading", steps_offset: 0 };
    return this.replace(state, { numInferenceSteps: n, timesteps: spacedTimesteps(this.className, spacing, n) });
  }

  /** The timestep after `timestep`: -1 after the last, and the next lower one for one that is not in the schedule. */
  #previousTimestep({ timesteps }: DDPMSchedulerState, timestep: number): number {
    const index = timesteps.indexOf(timestep);
    return index < 0 ? timestep - 1 : (timesteps[index + 1] ?? -1);
  }

  /** @param options `key`: of this step's noise; the last step (timestep 0) adds none */
  step(
    state: DDPMSchedulerState,
    modelOutput: Tensor,
    timestep: number,
    sample: Tensor,
    options: FlaxStepOptions = {},
  ): FlaxStepResult<DDPMSchedulerState> {
    const { config, className } = this;
    const previous = this.#previousTimestep(state, timestep);
    const update = {
      alpha: this.alphaAt(state, timestep),
      alphaPrevious: previous >= 0 ? this.alphaAt(state, previous) : 1,
      predictionType: config.prediction_type,
      varianceType: config.variance_type,
      clip: { clip_sample: config.clip_sample },
      noise: timestep > 0 ? (like: Tensor) => drawFlaxNoise(like, timestep, options) : null,
    };
    const prevSample = sample.device.scope(() => ddpmUpdate(className, update, modelOutput, sample).prevSample);
    return { prevSample, state };
  }
}
