import { normal, split } from "../../tensor/random_jax.js";
import type { Tensor } from "../../tensor/tensor.js";
import { at, checkShapes, checkSteps, checkTrainTimesteps } from "../checks.js";
import { mixAtTimes } from "../noising.js";
import { veCorrect, vePredict, veDiscreteSigmas, veSigmas, veTimesteps } from "../sde_ve_formulas.js";
import { drawFlaxNoise, type FlaxStepOptions, type FlaxStepResult } from "./flax_diffusion_scheduler.js";
import { FlaxScheduler, type FlaxState } from "./flax_scheduler.js";
import { frozen } from "./flax_state.js";

const defaults = {
  num_train_timesteps: 2000,
  snr: 0.15,
  sigma_min: 0.01,
  sigma_max: 1348.0,
  sampling_eps: 1e-5,
  correct_steps: 1,
};
/** Keys of a FlaxScoreSdeVeScheduler's config, with diffusers' meaning and defaults. */
export type FlaxScoreSdeVeConfig = typeof defaults;

/** What FlaxScoreSdeVeScheduler knows of a run. Frozen plain data. */
export interface ScoreSdeVeSchedulerState extends FlaxState {
  readonly timesteps: readonly number[];
  /** Levels of the schedule in ascending order. */
  readonly discreteSigmas: readonly number[];
  /** Levels at the timesteps, which are what the model takes for the time. */
  readonly sigmas: readonly number[];
}

/** What a prediction or correction of SDE-Ve gives: the tensors belong to the caller. */
export type FlaxSdeVeOutput = FlaxStepResult<ScoreSdeVeSchedulerState> & {
  /** The sample without the step's noise (`stepPred`). Belongs to the caller. */
  prevSampleMean?: Tensor;
};

/**
 * Variance-exploding SDE with predictor and corrector (Song et al. 2021, arXiv 2011.13456), stateless: each timestep takes
 * `correct_steps` calls of `stepCorrect` and one of `stepPred`. diffusers: scheduling_sde_ve_flax.py, whose own steps fail;
 * the formulas are those of the stateful class.
 */
export class FlaxScoreSdeVeScheduler extends FlaxScheduler<FlaxScoreSdeVeConfig, ScoreSdeVeSchedulerState> {
  static override readonly className: string = "FlaxScoreSdeVeScheduler";
  static override readonly defaults = defaults;

  constructor(options: Partial<FlaxScoreSdeVeConfig> = {}) {
    super(options);
  }

  createState(): ScoreSdeVeSchedulerState {
    const n = checkTrainTimesteps(this.className, this.config.num_train_timesteps);
    const timesteps = veTimesteps(n, this.config.sampling_eps);
    return this.setSigmas(frozen({ timesteps, discreteSigmas: [], sigmas: [] }), n);
  }

  /** Times from 1 down to `samplingEps`. `setSigmas` must follow. */
  setTimesteps(
    state: ScoreSdeVeSchedulerState,
    numInferenceSteps: number,
    _shape?: readonly number[],
    samplingEps = this.config.sampling_eps,
  ): ScoreSdeVeSchedulerState {
    const n = checkSteps(this, numInferenceSteps);
    return frozen({ ...state, timesteps: veTimesteps(n, samplingEps) });
  }

  /** Levels from sigma_max down to sigma_min, as many as there are timesteps. */
  setSigmas(
    state: ScoreSdeVeSchedulerState,
    numInferenceSteps: number,
    { sigmaMin = this.config.sigma_min, sigmaMax = this.config.sigma_max } = {},
  ): ScoreSdeVeSchedulerState {
    const n = checkSteps(this, numInferenceSteps);
    const discreteSigmas = Array.from(veDiscreteSigmas(n, sigmaMin, sigmaMax));
    return frozen({ ...state, discreteSigmas, sigmas: veSigmas(state.timesteps, sigmaMin, sigmaMax) });
  }

  /** The predictor's step, as `stepPred`. */
  step(
    state: ScoreSdeVeSchedulerState,
    modelOutput: Tensor,
    timestep: number,
    sample: Tensor,
    options: FlaxStepOptions = {},
  ): FlaxSdeVeOutput {
    return this.stepPred(state, modelOutput, timestep, sample, options);
  }

  /** Reverse diffusion: from the level at `timestep` to the one below. */
  stepPred(
    state: ScoreSdeVeSchedulerState,
    modelOutput: Tensor,
    timestep: number,
    sample: Tensor,
    options: FlaxStepOptions = {},
  ): FlaxSdeVeOutput {
    checkShapes(this.className, modelOutput, sample);
    const { discreteSigmas: sigmas, timesteps } = state;
    const index = timesteps.indexOf(timestep);
    const tensors = sample.device.scope(() => {
      const noise = drawFlaxNoise(sample, Math.max(0, index), options);
      return vePredict(this.className, { sigmas, steps: timesteps.length, timestep }, modelOutput, sample, noise);
    });
    return { ...tensors, state };
  }

  /** Langevin dynamics at one level: the signal-to-noise ratio `snr` fixes the size of the step. */
  stepCorrect(
    state: ScoreSdeVeSchedulerState,
    modelOutput: Tensor,
    sample: Tensor,
    { key, partitionable }: FlaxStepOptions & Required<Pick<FlaxStepOptions, "key">>,
  ): FlaxSdeVeOutput {
    checkShapes(this.className, modelOutput, sample);
    const options = { partitionable };
    const noise = normal(split(key, 1, options)[0], sample.shape, options);
    return { prevSample: sample.device.scope(() => veCorrect(this.config.snr, modelOutput, sample, noise)), state };
  }

  /**
   * x + σ noise: the forward process.
   * @param timesteps indices into `state.discreteSigmas`, one for all samples or one per sample
   */
  addNoise(
    { discreteSigmas }: ScoreSdeVeSchedulerState,
    original: Tensor,
    noise: Tensor,
    timesteps: number | readonly number[],
  ): Tensor {
    const { className } = this;
    const level = (t: number): [number, number] => [1, at(className, discreteSigmas, t)];
    return mixAtTimes(`${className}.addNoise`, original, noise, timesteps, level);
  }
}
