/** Base of the stateless schedulers that pipelines of the Stable Diffusion family can run. */
import { normal, PRNGKey, foldIn, split, type JAXKey } from "../../tensor/random_jax.js";
import { Tensor } from "../../tensor/tensor.js";
import { makeSchedule, type BetaConfig } from "../betas.js";
import { at, checkSet } from "../checks.js";
import { noisyAt, velocityAt } from "../noising.js";
import { FlaxScheduler, type FlaxState } from "./flax_scheduler.js";
import { frozen } from "./flax_state.js";

/** diffusers' FlaxKarrasDiffusionSchedulers. */
export const FLAX_KARRAS_SCHEDULERS: readonly string[] = [
  "FlaxDDIMScheduler",
  "FlaxDDPMScheduler",
  "FlaxPNDMScheduler",
  "FlaxLMSDiscreteScheduler",
  "FlaxDPMSolverMultistepScheduler",
  "FlaxEulerDiscreteScheduler",
];

/** The noise schedule of training, float32. */
export interface CommonSchedulerState {
  readonly alphas: readonly number[];
  readonly betas: readonly number[];
  /** ᾱ: the part of the signal's variance left at each training step. */
  readonly alphasCumprod: readonly number[];
}

/** What the states of these classes have in common. */
export interface FlaxDiffusionState extends FlaxState {
  readonly common: CommonSchedulerState;
  /** Standard deviation that the initial noise must have. */
  readonly initNoiseSigma: number;
  readonly timesteps: readonly number[];
  /** Set by `setTimesteps`. */
  readonly numInferenceSteps: number | null;
}

/** Options of `step`; a class ignores those that are not its own. */
export interface FlaxStepOptions {
  /** Key of the step's noise (DDPM; DDIM with eta). Give every step another one, e.g. `foldIn(key, i)`. */
  key?: JAXKey;
  /** Which of JAX's streams the key draws from, see `normal`. Default false, as in diffusers' time. */
  partitionable?: boolean;
  /** Weight of the noise in DDIM (0: deterministic, 1: DDPM). Default 0. */
  eta?: number;
  /** Number of derivatives to use (LMS). Default 4. */
  order?: number;
}

/** The tensors in it belong to the caller; those of the state that went in are untouched. */
export interface FlaxStepResult<S> {
  /** x at the next timestep. */
  prevSample: Tensor;
  /** The state for the next step. */
  state: S;
}

/** Base of the stateless schedulers that pipelines of the Stable Diffusion family can run. */
export abstract class FlaxDiffusionScheduler<
  C extends BetaConfig = BetaConfig,
  S extends FlaxDiffusionState = FlaxDiffusionState,
> extends FlaxScheduler<C, S> {
  static override readonly compatibleNames = FLAX_KARRAS_SCHEDULERS;

  /** @param common a noise schedule to share; by default the config's */
  abstract override createState(common?: CommonSchedulerState): S;

  /**
   * One step of denoising. Nothing of `state` changes.
   * @param modelOutput what the model said of `scaleModelInput(state, sample, timestep)`
   * @param timestep one of `state.timesteps`; DDIM, DDPM, PNDM and DPM-Solver take other training timesteps too, as in
   *   diffusers
   * @throws RangeError for another timestep or shape, Error before `setTimesteps` (but for DDPM)
   */
  abstract step(
    state: S,
    modelOutput: Tensor,
    timestep: number,
    sample: Tensor,
    options?: FlaxStepOptions,
  ): FlaxStepResult<S>;

  /**
   * √ᾱ x + √(1 - ᾱ) noise: the forward process.
   * @param timesteps training timesteps, one for all samples or one per sample
   */
  addNoise(state: S, original: Tensor, noise: Tensor, timesteps: number | readonly number[]): Tensor {
    return noisyAt(`${this.className}.addNoise`, original, noise, timesteps, (t) => this.alphaAt(state, t));
  }

  /** √ᾱ noise - √(1 - ᾱ) x: what a model of `v_prediction` learns (Salimans & Ho 2022). */
  getVelocity(state: S, sample: Tensor, noise: Tensor, timesteps: number | readonly number[]): Tensor {
    return velocityAt(`${this.className}.getVelocity`, sample, noise, timesteps, (t) => this.alphaAt(state, t));
  }

  /** The noise schedule of the config. */
  protected makeCommon(): CommonSchedulerState {
    const { betas, alphasCumprod } = makeSchedule(this.className, this.config);
    return frozen({ alphas: Array.from(betas.map((beta) => 1 - beta)), betas, alphasCumprod }) as never;
  }

  /** Training timesteps, the noisiest first. */
  protected allTimesteps({ betas }: CommonSchedulerState): number[] {
    return betas.map((_, i) => betas.length - 1 - i);
  }

  /** ᾱ at a training timestep. */
  protected alphaAt({ common }: S, timestep: number): number {
    return at(this.className, common.alphasCumprod, timestep);
  }

  /** Index of a timestep in the schedule, the first where it comes twice. */
  protected indexOf({ timesteps, numInferenceSteps }: S, timestep: number, method = "step"): number {
    if (method === "step") checkSet(this.className, numInferenceSteps);
    const index = timesteps.indexOf(timestep);
    if (index >= 0) return index;
    throw new RangeError(
      `${this.className}.${method}: timestep ${timestep} is not in the schedule; take it from state.timesteps`,
    );
  }

  /** A copy of `state` with other values. */
  protected replace(state: S, values: Partial<S>): S {
    return frozen({ ...state, ...values });
  }
}

/**
 * The noise of a step, as diffusers' Flax classes draw it: from the first key of a split. Without a key the numbers are
 * those of seed 0 and the timestep; diffusers gives every step the same ones.
 */
export function drawFlaxNoise(like: Tensor, timestep: number, { key, partitionable }: FlaxStepOptions): Tensor {
  const options = { partitionable };
  const source = key ?? foldIn(PRNGKey(0), timestep);
  return Tensor.from(normal(split(source, 1, options)[0], like.shape, options), like.shape, { device: like.device });
}
