/** Base of the exponential integrators (DPM-Solver, UniPC, DEIS, SA-Solver), which step in the logarithm of the signal-to-noise ratio. */
import { shown } from "../arguments/shown.js";
import { slice } from "../tensor/ops/copy.js";
import type { Tensor } from "../tensor/tensor.js";
import { makeSchedule, type BetaConfig } from "./betas.js";
import { given } from "./checks.js";
import { convertToEpsilon, convertToX0, levelAt, levelOf, type Conversion, type Level } from "./levels.js";
import type { Linear } from "./linear.js";
import { mixAtTimes } from "./noising.js";
import type { Prediction } from "./prediction.js";
import {
  interpolate,
  logFloat32,
  shapedSigmas,
  sigmaShape,
  sigmasOf,
  sigmaToTimestep,
  type SigmaShapeConfig,
} from "./sigmas.js";
import { SigmasScheduler } from "./sigmas_scheduler.js";
import { linspace64, spacedBelow, type SpacingConfig } from "./spacing.js";

const f32 = Math.fround;

export interface SolverConfig extends BetaConfig, SigmaShapeConfig {
  readonly prediction_type: string;
  readonly thresholding: boolean;
  readonly dynamic_thresholding_ratio: number;
  readonly sample_max_value: number;
  readonly use_flow_sigmas: boolean;
  readonly flow_shift: number;
  readonly rescale_betas_zero_snr?: boolean;
  readonly use_dynamic_shifting?: boolean;
  readonly time_shift_type?: string;
  readonly variance_type?: string | null;
}

const X0_PREDICTIONS = ["epsilon", "sample", "v_prediction", "flow_prediction"] as const;

export abstract class SolverScheduler<C extends SolverConfig = SolverConfig> extends SigmasScheduler<C> {
  protected override readonly needsSetTimesteps = true;
  protected override readonly offSchedule = "last";
  readonly betas: Float32Array;
  readonly alphasCumprod: Float32Array;
  readonly initNoiseSigma: number = 1;
  /** Levels of the training timesteps, ascending, and their logarithms. */
  protected readonly table: Float32Array;
  protected readonly logTable: Float32Array;

  constructor(options: object) {
    super(options);
    sigmaShape(this.className, this.config);
    const { betas, alphasCumprod } = makeSchedule(this.className, this.config);
    if (this.config.rescale_betas_zero_snr) alphasCumprod[alphasCumprod.length - 1] = 2 ** -24;
    this.betas = betas;
    this.alphasCumprod = alphasCumprod;
    this.table = sigmasOf(alphasCumprod);
    this.logTable = this.table.map(logFloat32);
    // As diffusers leaves them until setTimesteps(): ascending, without a last 0, whatever the timesteps' order.
    this.sigmas = Array.from(this.table);
    this.timesteps = Array.from(betas, (_, i) => betas.length - 1 - i);
  }

  /** Point `index` of the schedule. */
  protected level(index: number): Level {
    return this.levelOf(this.sigmas[index]);
  }

  protected levelOf(level: number): Level {
    if (this.config.use_flow_sigmas) return levelOf(1 - level, level);
    const alpha = f32(1 / f32(Math.sqrt(f32(f32(level * level) + 1))));
    return levelOf(alpha, level * alpha);
  }

  /** n whole timesteps, as these classes space them. */
  protected spacedBelow(config: SpacingConfig, n: number, last?: number): number[] {
    return spacedBelow(this.className, config, n, last);
  }

  /** Number of training timesteps left when those with λ below the config's bound are clipped. */
  protected clippedLength(bound: number): number {
    const below = this.alphasCumprod.filter((alpha) => levelAt(alpha).lambda < bound);
    // `trained_betas` may be fewer: timesteps beyond them have the last one's level.
    return this.config.num_train_timesteps - below.length;
  }

  /** Levels of the shape that the config asks for, and their timesteps; null if it asks for none. */
  protected shaped(
    n: number,
    table: ArrayLike<number> = this.table.slice().reverse(),
  ): { times: number[]; levels: number[] } | null {
    const shape = sigmaShape(this.className, this.config);
    if (!shape) return null;
    const levels = shapedSigmas(shape, this.config, table, n);
    return { times: levels.map((sigma) => sigmaToTimestep(sigma, this.logTable)), levels };
  }

  /** Levels of rectified flow, shifted towards the noise (Esser et al. 2024, arXiv 2403.03206). */
  protected flow(n: number, shift: number): { times: number[]; levels: number[] } {
    const train = this.config.num_train_timesteps;
    const levels = linspace64(1, 1 / train, n + 1)
      .map((alpha) => ((1 - alpha) * shift) / (1 + (shift - 1) * (1 - alpha)))
      .reverse()
      .slice(0, -1);
    return { times: levels.map((sigma) => sigma * train), levels };
  }

  /** The shift of flow levels: of the config, or exp(mu). */
  protected shiftFor(mu: number | null | undefined): number {
    if (!given(mu)) return this.config.flow_shift;
    if (this.config.use_dynamic_shifting && this.config.time_shift_type === "exponential") return Math.exp(mu);
    throw new RangeError(
      `${this.className}.setTimesteps: mu needs use_dynamic_shifting and time_shift_type "exponential", got ` +
        `${this.config.use_dynamic_shifting} and ${shown(this.config.time_shift_type)}`,
    );
  }

  protected levelsAt(times: readonly number[]): number[] {
    return times.map((t) => interpolate(this.table, t));
  }

  /** Ends a `setTimesteps`. The models of these classes are called at whole timesteps. */
  protected begin(times: readonly number[], sigmas: readonly number[]): void {
    this.timesteps = times.map(Math.trunc);
    this.sigmas = sigmas.map(Math.fround);
    this.numInferenceSteps = this.timesteps.length;
    this.restart();
  }

  /** The mean that a model of learned variances predicts comes first among its channels. */
  protected meanOf(modelOutput: Tensor, sample: Tensor): Tensor {
    const learned = ["learned", "learned_range"].includes(this.config.variance_type ?? "");
    const channels = sample.shape[1];
    if (!learned || this.config.prediction_type !== "epsilon" || modelOutput.shape[1] === channels) return modelOutput;
    return slice(modelOutput, 1, 0, channels);
  }

  /** x0 at a point of the schedule, thresholded where the config says so. */
  protected x0(
    modelOutput: Tensor,
    sample: Tensor,
    index: number,
    known: readonly Prediction[] = X0_PREDICTIONS,
  ): Linear {
    return convertToX0(this.className, { ...this.#conversion(index), known }, modelOutput, sample);
  }

  /** The noise at a point of the schedule; with thresholding, that which goes with the thresholded x0. */
  protected epsilon(modelOutput: Tensor, sample: Tensor, index: number): Linear {
    return convertToEpsilon(this.className, this.#conversion(index), modelOutput, sample);
  }

  /** A flow model's sigma is the level itself, whatever the schedule. */
  #conversion(index: number): Conversion {
    const { alpha, sigma: level } = this.level(index);
    const { prediction_type: predictionType } = this.config;
    const sigma = predictionType === "flow_prediction" ? this.sigmas[index] : level;
    return { predictionType, alpha, sigma, clip: this.config };
  }

  /** The sample itself: these models see it unscaled. */
  override scaleModelInput(sample: Tensor, _timestep?: number): Tensor {
    return sample;
  }

  /**
   * alpha x + sigma noise: the forward process.
   * @param timesteps of the schedule, one for all samples or one per sample
   */
  override addNoise(x: Tensor, noise: Tensor, timesteps: number | readonly number[]): Tensor {
    return mixAtTimes(`${this.className}.addNoise`, x, noise, timesteps, (t) => {
      const { alpha, sigma } = this.level(this.noiseIndex(t));
      return [alpha, sigma];
    });
  }
}
