/** Base of the sigma family on a table of training timesteps: Euler, Heun, LMS, DPM2 and their kin. */
import { makeSchedule, type BetaConfig, type BetaSchedule } from "./betas.js";
import { countSteps } from "./checks.js";
import type { ScheduleOptions } from "./scheduler.js";
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
import { spacedTimesteps, type SpacingConfig } from "./spacing.js";

export type DiscreteConfig = BetaConfig & SpacingConfig & SigmaShapeConfig & { rescale_betas_zero_snr?: boolean };

/** Timesteps and their levels in double precision, without the final level. */
export interface Spaced {
  times: number[];
  levels: number[];
}

export abstract class DiscreteScheduler<C extends DiscreteConfig = DiscreteConfig> extends SigmasScheduler<C> {
  /** Variances added per training step, float32. */
  readonly betas: Float32Array;
  /** ᾱ: the part of the signal's variance left at each training step, float32. */
  readonly alphasCumprod: Float32Array;
  /** Levels of the training timesteps, ascending, and their logarithms. */
  protected readonly table: Float32Array;
  protected readonly logTable: Float32Array;

  constructor(options: object, knownBetas?: readonly BetaSchedule[]) {
    super(options);
    sigmaShape(this.className, this.config);
    const { betas, alphasCumprod } = makeSchedule(this.className, this.config, knownBetas);
    // With ᾱ = 0 the first level would be infinite; this is near float16's smallest number.
    if (this.config.rescale_betas_zero_snr) alphasCumprod[alphasCumprod.length - 1] = 2 ** -24;
    this.betas = betas;
    this.alphasCumprod = alphasCumprod;
    this.table = sigmasOf(alphasCumprod);
    this.logTable = this.table.map(logFloat32);
    this.sigmas = [...Array.from(this.table).reverse(), 0];
    this.timesteps = Array.from(betas, (_, i) => betas.length - 1 - i);
  }

  get initNoiseSigma(): number {
    const max = this.sigmas.reduce((a, b) => Math.max(a, b), 0);
    return this.config.timestep_spacing === "leading" ? Math.sqrt(max ** 2 + 1) : max;
  }

  /** The number of steps, from it or from the list of timesteps; just one of them must be given. */
  protected countSteps(numInferenceSteps: number | null, { timesteps }: ScheduleOptions): number {
    const { className } = this;
    const n = countSteps(this, numInferenceSteps, timesteps);
    const shape = sigmaShape(className, this.config);
    if (timesteps && shape)
      throw new RangeError(`${className}.setTimesteps: cannot set timesteps with use_${shape}_sigmas`);
    return n;
  }

  /**
   * The schedule before the details of a class: spaced timesteps and their levels, or levels of a shape and their timesteps.
   * @param options `exact`: timesteps in double precision, which are float32 otherwise; `bounded`: Karras levels heed
   * `sigma_min` and `sigma_max`, hidden keys of other classes, as the other shapes do
   */
  protected spaced(n: number, timesteps?: readonly number[], { exact = false, bounded = true } = {}): Spaced {
    const times =
      timesteps?.map(Math.fround) ?? spacedTimesteps(this.className, this.config, n, { rounded: false, exact });
    const levels = this.levelsAt(times);
    const shape = sigmaShape(this.className, this.config);
    if (!shape) return { times, levels };
    const shaped = shapedSigmas(shape, bounded || shape !== "karras" ? this.config : {}, levels, n);
    return { times: shaped.map((sigma) => sigmaToTimestep(sigma, this.logTable)), levels: shaped };
  }

  protected levelsAt(times: readonly number[]): number[] {
    return times.map((t) => interpolate(this.table, t));
  }

  /** Ends a `setTimesteps`. */
  protected begin(n: number, times: readonly number[], sigmas: readonly number[]): void {
    this.timesteps = [...times];
    this.sigmas = sigmas.map(Math.fround);
    this.numInferenceSteps = n;
    this.restart();
  }
}
