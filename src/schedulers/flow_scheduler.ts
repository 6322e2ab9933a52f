/** What the flow matching schedulers share: x = (1 - σ) x0 + σ noise, with levels from 1 down to 0. */
import type { Tensor } from "../tensor/tensor.js";
import { checkSteps, checkTrainTimesteps, given } from "./checks.js";
import { oneOf, type Choice } from "./config.js";
import { IndexedScheduler } from "./indexed_scheduler.js";
import { mixAtTimes } from "./noising.js";
import type { ScheduleOptions } from "./scheduler.js";
import { shapedSigmas, sigmaShape, type SigmaShapeConfig } from "./sigmas.js";
import { linspace64 } from "./spacing.js";

type Rounding = (x: number) => number;
const f32 = Math.fround;
const exact = (x: number): number => x;

/** Shifts levels towards the noise: larger pictures need more of it (Esser et al. 2024, arXiv 2403.03206, formula 23). */
export const shifted = (sigma: number, shift: number, round: Rounding = exact): number =>
  round(round(round(shift) * sigma) / round(1 + round(round(shift - 1) * sigma)));

export interface FlowConfig {
  readonly num_train_timesteps: number;
  readonly shift: number;
}

export abstract class FlowScheduler<C extends FlowConfig = FlowConfig> extends IndexedScheduler<C> {
  readonly initNoiseSigma = 1;
  /** Levels of the schedule, float32, with that after the last step at the end. */
  sigmas: number[] = [];
  /** Ends of the training levels. */
  readonly sigmaMin: number;
  readonly sigmaMax: number;

  /** @param shifts whether the training levels are shifted */
  constructor(options: object, shifts: (config: C) => boolean = () => true) {
    super(options);
    const { num_train_timesteps: train, shift } = this.config;
    checkTrainTimesteps(this.className, train);
    this.sigmas = Array.from({ length: train }, (_, i) => f32((train - i) / train));
    if (shifts(this.config)) this.sigmas = this.sigmas.map((sigma) => shifted(sigma, shift, f32));
    this.timesteps = this.sigmas.map((sigma) => f32(sigma * train));
    this.sigmaMin = this.sigmas[train - 1];
    this.sigmaMax = this.sigmas[0];
  }

  /** The training levels, on which a run may walk before `setTimesteps`, have none after the last. */
  protected override indexOfStep(timestep: number): number {
    const index = super.indexOfStep(timestep);
    if (index + 1 < this.sigmas.length) return index;
    throw new RangeError(`${this.className}.step: no level follows timestep ${timestep}; call setTimesteps first`);
  }

  /** The sample itself: these models see it unscaled. */
  scaleModelInput(sample: Tensor, _timestep?: number): Tensor {
    return sample;
  }

  /**
   * (1 - σ) x + σ noise: the forward process.
   * @param timesteps of the schedule, one for all samples or one per sample
   */
  scaleNoise(x: Tensor, timesteps: number | readonly number[], noise: Tensor): Tensor {
    return mixAtTimes(`${this.className}.scaleNoise`, x, noise, timesteps, (t) => {
      const sigma = this.sigmas[this.noiseIndex(t)];
      return [1 - sigma, sigma];
    });
  }
}

export const SHIFTED_FLOW_DEFAULTS = {
  num_train_timesteps: 1000,
  shift: 1.0,
  use_dynamic_shifting: false,
  base_shift: 0.5 as number | null,
  max_shift: 1.15 as number | null,
  base_image_seq_len: 256,
  max_image_seq_len: 4096,
  invert_sigmas: false,
  shift_terminal: null as number | null,
  use_karras_sigmas: false as boolean | null,
  use_exponential_sigmas: false as boolean | null,
  use_beta_sigmas: false as boolean | null,
  time_shift_type: "exponential" as Choice<"exponential" | "linear">,
};
export type ShiftedFlowConfig = typeof SHIFTED_FLOW_DEFAULTS;

/** Flow matching whose levels can be shifted by size (`mu`), stretched, shaped and inverted. */
export abstract class ShiftedFlowScheduler<C extends ShiftedFlowConfig & SigmaShapeConfig> extends FlowScheduler<C> {
  static override readonly customSchedules = ["timesteps", "sigmas", "mu"] as const;
  #shift = this.config.shift;

  constructor(options: object) {
    super(options, (config) => !config.use_dynamic_shifting);
    sigmaShape(this.className, this.config);
    oneOf(this.className, "time_shift_type", this.config.time_shift_type, ["exponential", "linear"]);
  }

  /** The shift that `setTimesteps` applies. */
  get shift(): number {
    return this.#shift;
  }

  setShift(shift: number): void {
    this.#shift = shift;
  }

  /** Prepares a run; `timesteps` are used as they are, `sigmas` (and levels made from timesteps) are shifted. */
  protected prepare(numInferenceSteps: number | null, { timesteps, sigmas, mu }: ScheduleOptions): void {
    const { className, config } = this;
    if (config.use_dynamic_shifting && !given(mu))
      throw new RangeError(`${className}.setTimesteps: use_dynamic_shifting needs mu`);
    const n = checkSteps(this, numInferenceSteps ?? sigmas?.length ?? timesteps?.length);
    for (const [name, list] of [
      ["sigmas", sigmas],
      ["timesteps", timesteps],
    ] as const)
      if (list && list.length !== n)
        throw new RangeError(`${className}.setTimesteps: needs ${n} ${name}, as many as steps, got ${list.length}`);
    const train = config.num_train_timesteps;
    const times = timesteps?.map(f32) ?? linspace64(this.sigmaMax * train, this.sigmaMin * train, n);
    // Levels of one's own, and those of one's own timesteps, are float32 in diffusers: `invert_sigmas` shows every rounding.
    const round = sigmas || timesteps ? f32 : exact;
    const unshifted = sigmas?.map(f32) ?? times.map((t) => round(t / train));
    const levels = this.#shaped(unshifted, mu ?? null, round).map(f32);
    const final = config.invert_sigmas ? levels.map((sigma) => f32(1 - sigma)) : levels;
    this.timesteps = timesteps && !config.invert_sigmas ? timesteps.map(f32) : final.map((sigma) => f32(sigma * train));
    this.sigmas = [...final, config.invert_sigmas ? 1 : 0];
    this.numInferenceSteps = n;
    this.restart();
  }

  #shaped(sigmas: readonly number[], mu: number | null, round: Rounding): number[] {
    const { className, config } = this;
    let levels = sigmas.map((sigma) =>
      config.use_dynamic_shifting ? this.#timeShift(mu ?? 0, sigma, round) : shifted(sigma, this.#shift, round),
    );
    if (config.shift_terminal) {
      const stretch = round(round(1 - levels[levels.length - 1]) / round(1 - config.shift_terminal));
      levels = levels.map((sigma) => round(1 - round(round(1 - sigma) / stretch)));
    }
    const shape = sigmaShape(className, config);
    return shape ? shapedSigmas(shape, config, levels, levels.length) : levels;
  }

  #timeShift(mu: number, sigma: number, round: Rounding): number {
    const shift = round(this.config.time_shift_type === "exponential" ? Math.exp(mu) : mu);
    return round(shift / round(shift + round(round(1 / sigma) - 1)));
  }
}
