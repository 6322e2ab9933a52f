import type { Tensor } from "../../tensor/tensor.js";
import { BETA_DEFAULTS } from "../betas.js";
import { checkSet, checkShapes, checkSteps } from "../checks.js";
import type { Choice } from "../config.js";
import { linear } from "../prediction.js";
import {
  linearMultistep,
  PNDM_ORDER,
  pndmPreviousSample,
  pndmStride,
  pndmTimesteps,
  rungeKutta,
  type PNDMEvaluation,
} from "../pndm_formulas.js";
import {
  FlaxDiffusionScheduler,
  type CommonSchedulerState,
  type FlaxDiffusionState,
  type FlaxStepResult,
} from "./flax_diffusion_scheduler.js";
import { frozen } from "./flax_state.js";

const defaults = {
  ...BETA_DEFAULTS,
  skip_prk_steps: false,
  set_alpha_to_one: false,
  steps_offset: 0,
  prediction_type: "epsilon" as Choice<"epsilon" | "v_prediction">,
};
/** Keys of a FlaxPNDMScheduler's config, with diffusers' meaning and defaults. */
export type FlaxPNDMConfig = typeof defaults;

/** What FlaxPNDMScheduler knows of a run. Frozen plain data. */
export interface PNDMSchedulerState extends FlaxDiffusionState {
  /** ᾱ of a Runge-Kutta step that leads below the first training timestep. */
  readonly finalAlphaCumprod: number;
  /** The parts of `timesteps` for the Runge-Kutta method (empty with `skip_prk_steps`) and the linear multistep method. */
  readonly prkTimesteps: readonly number[] | null;
  readonly plmsTimesteps: readonly number[] | null;
  /** Steps done. */
  readonly counter: number | null;
  /** Sum of the outputs of a Runge-Kutta step so far. */
  readonly curModelOutput: Tensor | null;
  /** The sample that a Runge-Kutta step, or the first linear multistep, began with. */
  readonly curSample: Tensor | null;
  /** Outputs of the model, up to four, the newest last. */
  readonly ets: readonly Tensor[];
}

type Memory = Pick<PNDMSchedulerState, "curModelOutput" | "curSample" | "ets">;
const NOTHING: Memory = { curModelOutput: null, curSample: null, ets: [] };

/**
 * Pseudo numerical methods for diffusion models (Liu et al. 2022, arXiv 2202.09778), stateless. diffusers:
 * scheduling_pndm_flax.py. N steps make N + 1 timesteps, of which FlaxStableDiffusionPipeline never runs the last.
 */
export class FlaxPNDMScheduler extends FlaxDiffusionScheduler<FlaxPNDMConfig, PNDMSchedulerState> {
  static override readonly className: string = "FlaxPNDMScheduler";
  static override readonly defaults = defaults;

  constructor(options: Partial<FlaxPNDMConfig> = {}) {
    super(options);
  }

  createState(common: CommonSchedulerState = this.makeCommon()): PNDMSchedulerState {
    return frozen({
      common,
      initNoiseSigma: 1,
      timesteps: this.allTimesteps(common),
      numInferenceSteps: null,
      finalAlphaCumprod: this.config.set_alpha_to_one ? 1 : common.alphasCumprod[0],
      prkTimesteps: null,
      plmsTimesteps: null,
      counter: null,
      ...NOTHING,
    });
  }

  setTimesteps(state: PNDMSchedulerState, numInferenceSteps: number, _shape?: readonly number[]): PNDMSchedulerState {
    const n = checkSteps(this, numInferenceSteps);
    const { prk, plms } = pndmTimesteps(this.className, { ...this.config, timestep_spacing: "leading" }, n);
    return this.replace(state, {
      numInferenceSteps: n,
      timesteps: [...prk, ...plms],
      prkTimesteps: prk,
      plmsTimesteps: plms,
      counter: 0,
      ...NOTHING,
    });
  }

  /** `stepPrk` while Runge-Kutta timesteps are left, then `stepPlms`. */
  step(
    state: PNDMSchedulerState,
    modelOutput: Tensor,
    timestep: number,
    sample: Tensor,
  ): FlaxStepResult<PNDMSchedulerState> {
    return (state.counter ?? 0) < (state.prkTimesteps?.length ?? 0)
      ? this.stepPrk(state, modelOutput, timestep, sample)
      : this.stepPlms(state, modelOutput, timestep, sample);
  }

  /** One of the four evaluations of a pseudo Runge-Kutta step, formula (13). */
  stepPrk(
    state: PNDMSchedulerState,
    modelOutput: Tensor,
    timestep: number,
    sample: Tensor,
  ): FlaxStepResult<PNDMSchedulerState> {
    const { counter, prk, ...stride } = this.#running(state, modelOutput, timestep, sample);
    if (counter >= prk.length)
      throw new Error(`${this.className}.stepPrk: no Runge-Kutta timestep is left, ${counter} steps are done`);
    const at = { counter, prk, ...stride, start: state.curSample, sum: state.curModelOutput };
    return sample.device.scope(() => {
      const { sum, ...evaluation } = rungeKutta(at, modelOutput, timestep, sample);
      const prevSample = this.#previousSample(state, evaluation);
      const begins = counter % 4 === 0;
      return {
        prevSample,
        state: this.replace(state, {
          counter: counter + 1,
          curModelOutput: sum?.toTensor() ?? null,
          curSample: begins ? linear(sample).toTensor() : counter % 4 === 3 ? null : state.curSample,
          ets: begins ? this.#remember(state, modelOutput) : state.ets,
        }),
      };
    });
  }

  /** A step of the pseudo linear multistep method over up to four outputs, formula (12). */
  stepPlms(
    state: PNDMSchedulerState,
    modelOutput: Tensor,
    timestep: number,
    sample: Tensor,
  ): FlaxStepResult<PNDMSchedulerState> {
    const { counter, whole } = this.#running(state, modelOutput, timestep, sample);
    const at = { counter, whole, outputs: [...state.ets].reverse(), start: state.curSample };
    return sample.device.scope(() => {
      const { to, ...evaluation } = linearMultistep(at, modelOutput, timestep, sample);
      // As in diffusers' Flax class the last step leads to the first training timestep and not beyond.
      const prevSample = this.#previousSample(state, { ...evaluation, to: Math.max(to, 0) });
      return {
        prevSample,
        state: this.replace(state, {
          counter: counter + 1,
          curSample: counter === 0 ? linear(sample).toTensor() : null,
          ets: counter === 1 ? state.ets : this.#remember(state, modelOutput),
        }),
      };
    });
  }

  #running(
    state: PNDMSchedulerState,
    modelOutput: Tensor,
    timestep: number,
    sample: Tensor,
  ): { counter: number; prk: readonly number[]; whole: number; half: number } {
    checkShapes(this.className, modelOutput, sample);
    const { counter, prkTimesteps, numInferenceSteps } = state;
    const stride = pndmStride(this.config.num_train_timesteps, checkSet(this.className, numInferenceSteps));
    return { counter: counter ?? 0, prk: prkTimesteps ?? [], ...stride };
  }

  #remember({ ets }: PNDMSchedulerState, modelOutput: Tensor): Tensor[] {
    return [...ets, linear(modelOutput).toTensor()].slice(-PNDM_ORDER);
  }

  #previousSample(state: PNDMSchedulerState, evaluation: PNDMEvaluation): Tensor {
    const { from, to } = evaluation;
    const alphas = {
      alpha: this.alphaAt(state, from),
      alphaPrevious: to < 0 ? state.finalAlphaCumprod : this.alphaAt(state, to),
    };
    return pndmPreviousSample(this.className, this.config.prediction_type, alphas, evaluation);
  }
}
