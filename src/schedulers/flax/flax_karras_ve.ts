import { normal, split, type JAXKey } from "../../tensor/random_jax.js";
import { Tensor } from "../../tensor/tensor.js";
import { checkShapes, checkSteps } from "../checks.js";
import {
  KARRAS_VE_DEFAULTS,
  veChurn,
  veEuler,
  veHeun,
  veSchedule,
  type KarrasVeValues,
} from "../karras_ve_formulas.js";
import { FlaxScheduler, type FlaxState } from "./flax_scheduler.js";
import { frozen } from "./flax_state.js";

/** Keys of a FlaxKarrasVeScheduler's config, with diffusers' meaning and defaults. */
export type FlaxKarrasVeConfig = KarrasVeValues;

/** What FlaxKarrasVeScheduler knows of a run. Frozen plain data. */
export interface KarrasVeSchedulerState extends FlaxState {
  readonly numInferenceSteps: number | null;
  /** Indices of `schedule`, descending. */
  readonly timesteps: readonly number[] | null;
  /** σ at each timestep; as in diffusers these are squares of the paper's. */
  readonly schedule: readonly number[] | null;
}

/** What a step of Karras-Ve gives: the tensors belong to the caller. */
export interface FlaxKarrasVeOutput {
  prevSample: Tensor;
  derivative: Tensor;
  state: KarrasVeSchedulerState;
}

/**
 * Stochastic sampling for variance-exploding models (Karras et al. 2022, arXiv 2206.00364, algorithm 2), stateless:
 * `addNoiseToInput`, `step`, and `stepCorrect` with the model's second answer. diffusers: scheduling_karras_ve_flax.py
 */
export class FlaxKarrasVeScheduler extends FlaxScheduler<FlaxKarrasVeConfig, KarrasVeSchedulerState> {
  static override readonly className: string = "FlaxKarrasVeScheduler";
  static override readonly defaults = KARRAS_VE_DEFAULTS;
  static override readonly intKeys = ["sigma_max"];

  constructor(options: Partial<FlaxKarrasVeConfig> = {}) {
    super(options);
  }

  createState(): KarrasVeSchedulerState {
    return frozen({ numInferenceSteps: null, timesteps: null, schedule: null });
  }

  setTimesteps(
    state: KarrasVeSchedulerState,
    numInferenceSteps: number,
    _shape?: readonly number[],
  ): KarrasVeSchedulerState {
    const n = checkSteps(this, numInferenceSteps);
    const { timesteps, schedule } = veSchedule(this.className, this.config, n);
    return frozen({ ...state, numInferenceSteps: n, timesteps, schedule });
  }

  /**
   * Raises the noise level of a sample from `sigma` to sigmaHat = σ + γ σ.
   * @param key of the noise (diffusers' own class fails here with keys of JAX)
   * @returns sampleHat, which belongs to the caller, and sigmaHat
   */
  addNoiseToInput(
    state: KarrasVeSchedulerState,
    sample: Tensor,
    sigma: number,
    key: JAXKey,
  ): [sampleHat: Tensor, sigmaHat: number] {
    const n = this.#steps(state, "addNoiseToInput");
    const { device, shape } = sample;
    return device.scope(() => {
      const noise = Tensor.from(normal(split(key, 1)[0], shape), shape, { device });
      return veChurn(this.config, n, sample, sigma, noise);
    });
  }

  /** Euler's step from `sigmaHat` to `sigmaPrev`. @param modelOutput the model's score of `sampleHat` */
  step(
    state: KarrasVeSchedulerState,
    modelOutput: Tensor,
    sigmaHat: number,
    sigmaPrev: number,
    sampleHat: Tensor,
  ): FlaxKarrasVeOutput {
    this.#steps(state, "step");
    checkShapes(this.className, modelOutput, sampleHat);
    const { x0: _, ...tensors } = veEuler(modelOutput, { sigmaHat, sigmaPrev, sampleHat });
    return { ...tensors, state };
  }

  /** Heun's correction of a step. @param modelOutput the model's score of `samplePrev` */
  stepCorrect(
    state: KarrasVeSchedulerState,
    modelOutput: Tensor,
    sigmaHat: number,
    sigmaPrev: number,
    sampleHat: Tensor,
    samplePrev: Tensor,
    derivativeHat: Tensor,
  ): FlaxKarrasVeOutput {
    this.#steps(state, "stepCorrect");
    checkShapes(this.className, modelOutput, samplePrev);
    const step = { sigmaHat, sigmaPrev, sampleHat };
    const { x0: _, ...tensors } = veHeun(modelOutput, step, { samplePrev, derivative: derivativeHat });
    return { ...tensors, state };
  }

  /** @throws Error always: this sampler has `addNoiseToInput` instead, as in diffusers */
  addNoise(): never {
    throw new Error(
      `${this.className}.addNoise: this scheduler has none; use addNoiseToInput(state, sample, sigma, key)`,
    );
  }

  #steps({ numInferenceSteps: n }: KarrasVeSchedulerState, method: string): number {
    if (n !== null) return n;
    throw new Error(`${this.className}.${method}: the number of inference steps is not set, call setTimesteps first`);
  }
}
