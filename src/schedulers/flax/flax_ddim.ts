import type { Tensor } from "../../tensor/tensor.js";
import { BETA_DEFAULTS } from "../betas.js";
import { checkSet, checkShapes, checkSteps } from "../checks.js";
import type { Choice } from "../config.js";
import { ddimUpdate } from "../ddim_formulas.js";
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
  clip_sample: true,
  clip_sample_range: 1.0,
  set_alpha_to_one: true,
  steps_offset: 0,
  prediction_type: "epsilon" as Choice<UsualPrediction>,
};
/** Keys of a FlaxDDIMScheduler's config, with diffusers' meaning and defaults. */
export type FlaxDDIMConfig = typeof defaults;

/** What FlaxDDIMScheduler knows of a run. Frozen plain data. */
export interface DDIMSchedulerState extends FlaxDiffusionState {
  /** ᾱ of the step that comes after the last. */
  readonly finalAlphaCumprod: number;
}

/**
 * Denoising diffusion implicit models (Song et al. 2020, arXiv 2010.02502), stateless. diffusers: scheduling_ddim_flax.py,
 * which leaves room for the noise of `eta` but adds none; here noise is added where a key is given.
 */
export class FlaxDDIMScheduler extends FlaxDiffusionScheduler<FlaxDDIMConfig, DDIMSchedulerState> {
  static override readonly className: string = "FlaxDDIMScheduler";
  static override readonly defaults = defaults;

  constructor(options: Partial<FlaxDDIMConfig> = {}) {
    super(options);
  }

  createState(common: CommonSchedulerState = this.makeCommon()): DDIMSchedulerState {
    return frozen({
      common,
      initNoiseSigma: 1,
      timesteps: this.allTimesteps(common),
      numInferenceSteps: null,
      finalAlphaCumprod: this.config.set_alpha_to_one ? 1 : common.alphasCumprod[0],
    });
  }

  setTimesteps(state: DDIMSchedulerState, numInferenceSteps: number, _shape?: readonly number[]): DDIMSchedulerState {
    const n = checkSteps(this, numInferenceSteps);
    const timesteps = spacedTimesteps(this.className, { ...this.config, timestep_spacing: "leading" }, n);
    return this.replace(state, { numInferenceSteps: n, timesteps });
  }

  step(
    state: DDIMSchedulerState,
    modelOutput: Tensor,
    timestep: number,
    sample: Tensor,
    options: FlaxStepOptions = {},
  ): FlaxStepResult<DDIMSchedulerState> {
    const { className, config } = this;
    checkShapes(className, modelOutput, sample);
    const previous = timestep - Math.floor(config.num_train_timesteps / checkSet(className, state.numInferenceSteps));
    const { clip_sample, clip_sample_range } = config;
    const update = {
      alpha: this.alphaAt(state, timestep),
      alphaPrevious: previous >= 0 ? this.alphaAt(state, previous) : state.finalAlphaCumprod,
      predictionType: config.prediction_type,
      clip: { clip_sample, clip_sample_range },
      eta: options.eta,
      noise: options.key && (() => drawFlaxNoise(sample, timestep, options)),
    };
    const { prevSample } = sample.device.scope(() => {
      const { prevSample } = ddimUpdate(className, update, modelOutput, sample);
      return { prevSample };
    });
    return { prevSample, state };
  }
}
