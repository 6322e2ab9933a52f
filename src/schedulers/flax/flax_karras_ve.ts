import { normal, split, type JAXKey } from "../../tensor/random_jax.js";
import { Tensor } from "../../tensor/tensor.js";
import { checkShapes, checkSteps } from "../checks.js";
import { Linear } from "../linear.js";
import { derivative, eulerUpdate } from "../sigma_formulas.js";
import { FlaxScheduler, type FlaxState } from "./flax_scheduler.js";
import { frozen } from "./flax_state.js";

const defaults = { sigma_min: 0.02, sigma_max: 100, s_noise: 1.007, s_churn: 80, s_min: 0.05, s_max: 50 };
/** Keys of a FlaxKarrasVeScheduler's config, with diffusers' meaning and defaults. */
export type FlaxKarrasVeConfig = typeof defaults;

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
  static override readonly defaults = defaults;
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
    if (n < 2) throw new RangeError(`${this.className}.setTimesteps: needs at least 2 steps, got ${n}`);
    const { sigma_max: max, sigma_min: min } = this.config;
    const timesteps = Array.from({ length: n }, (_, i) => n - 1 - i);
    const schedule = timesteps.map((i) => Math.fround(max ** 2 * (min ** 2 / max ** 2) ** (i / (n - 1))));
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
    const { s_min, s_max, s_churn, s_noise } = this.config;
    const n = this.#steps(state, "addNoiseToInput");
    const gamma = s_min <= sigma && sigma <= s_max ? Math.min(s_churn / n, Math.SQRT2 - 1) : 0;
    const sigmaHat = sigma + gamma * sigma;
    const { device, shape } = sample;
    return device.scope(() => {
      const noise = Tensor.from(normal(split(key, 1)[0], shape), shape, { device });
      const hat = Linear.of(sample).plus(noise, s_noise * Math.sqrt(sigmaHat ** 2 - sigma ** 2));
      return [hat.toTensor(), sigmaHat] as [Tensor, number];
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
    const x = Linear.of(sampleHat);
    const x0 = x.plus(modelOutput, sigmaHat);
    const prevSample = eulerUpdate(x, x0, { from: sigmaHat, to: sigmaPrev }).toTensor();
    return { prevSample, derivative: derivative(x, x0, sigmaHat).toTensor(), state };
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
    const x = Linear.of(samplePrev);
    const corrected = derivative(x, x.plus(modelOutput, sigmaPrev), sigmaPrev);
    const mean = corrected.times(0.5).plus(derivativeHat, 0.5);
    const prevSample = Linear.of(sampleHat)
      .plus(mean, sigmaPrev - sigmaHat)
      .toTensor();
    return { prevSample, derivative: Linear.of(derivativeHat).toTensor(), state };
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
