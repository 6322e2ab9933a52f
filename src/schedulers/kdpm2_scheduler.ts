/** What the two DPM2 schedulers share: a step in two halves, the second at a level between. */
import { roundHalfEven } from "../tensor/round.js";
import type { Tensor } from "../tensor/tensor.js";
import { BETA_DEFAULTS } from "./betas.js";
import { checkScheduleOptions } from "./checks.js";
import type { Choice } from "./config.js";
import { DiscreteScheduler } from "./discrete_scheduler.js";
import { Slot } from "./history.js";
import { Linear } from "./linear.js";
import { sigmaPrediction } from "./prediction.js";
import { KARRAS_SCHEDULERS, type ScheduleOptions } from "./scheduler.js";
import { sigmaShape, sigmaToTimestep } from "./sigmas.js";
import type { Spacing } from "./spacing.js";

const KDPM2_DEFAULTS = {
  ...BETA_DEFAULTS,
  beta_start: 0.00085,
  beta_end: 0.012,
  use_karras_sigmas: false,
  use_exponential_sigmas: false,
  use_beta_sigmas: false,
  prediction_type: "epsilon" as Choice<"epsilon" | "v_prediction">,
  timestep_spacing: "linspace" as Choice<Spacing>,
  steps_offset: 0,
};
export type KDPM2Config = typeof KDPM2_DEFAULTS;

/** The geometric mean of two levels, in torch's float32; 0 where one is 0. */
export function between(a: number, b: number): number {
  if (!(a > 0 && b > 0)) return 0;
  const [from, to] = [f32(Math.log(a)), f32(Math.log(b))];
  return f32(Math.exp(f32(to - f32(to - from) * 0.5)));
}
const f32 = Math.fround;

/** Values per level as values per call of the model. */
const perCall = ([first, ...rest]: readonly number[]): number[] => [
  first,
  ...rest.flatMap((x) => [x, x]),
  rest.at(-1) ?? first,
];

export abstract class KDPM2Scheduler extends DiscreteScheduler<KDPM2Config> {
  static override readonly defaults = KDPM2_DEFAULTS;
  static override readonly compatibleNames = KARRAS_SCHEDULERS;
  override readonly order = 2;
  /** Sample of the first half of a step, while the second is due. */
  protected readonly start = new Slot();
  /** Levels of the second halves, per call of the model. */
  #middles: number[] = [];

  constructor(options: Partial<KDPM2Config> = {}) {
    super(options);
    this.setTimesteps(this.config.num_train_timesteps);
  }

  /** The levels of the second halves, one per level of `sigmas`. */
  protected abstract middleLevels(sigmas: readonly number[]): number[];

  /** Where `middleLevels` has the level of the first step: 0 or 1. */
  protected abstract get firstMiddle(): 0 | 1;

  /** n steps run the model 2n - 1 times. */
  setTimesteps(numInferenceSteps: number | null, options: ScheduleOptions = {}): void {
    options = checkScheduleOptions(this.className, [], options);
    const n = this.countSteps(numInferenceSteps, options);
    const { times, levels } = this.spaced(n);
    // diffusers keeps these in double precision where a shape of sigmas asks for logarithms, else in float32.
    const shape = sigmaShape(this.className, this.config);
    const [first, ...rest] = shape === "karras" ? times.map(roundHalfEven) : times;
    const round = shape ? (t: number): number => t : Math.fround;
    const sigmas = [...levels, 0].map(Math.fround);
    const middles = this.middleLevels(sigmas);
    const middleTimes = middles
      .slice(this.firstMiddle)
      .map((sigma) => round(sigmaToTimestep(sigma, this.logTable, { single: true })));
    this.#middles = perCall(middles);
    this.begin(n, [first, ...rest.flatMap((t, i) => [middleTimes[i], t])], perCall(sigmas));
  }

  override reset(): void {
    super.reset();
    this.start.clear();
  }

  /** Whether the next call is the first half of a step. */
  get stateInFirstOrder(): boolean {
    return this.start.value === null;
  }

  /** The level between, of the step to which the call at `index` belongs. */
  protected middleAt(index: number): number {
    return this.#middles[index + this.firstMiddle - (this.stateInFirstOrder ? 0 : 1)];
  }

  override scaleModelInput(sample: Tensor, timestep: number): Tensor {
    if (this.stateInFirstOrder) return super.scaleModelInput(sample, timestep);
    const sigma = this.middleAt(this.currentIndex(timestep));
    return Linear.of(sample, 1 / Math.sqrt(sigma ** 2 + 1)).toTensor();
  }

  /** x0 and the derivative at a level. */
  protected slope(modelOutput: Tensor, sample: Tensor, sigma: number): { x0: Linear; derivative: Linear } {
    const x = Linear.of(sample);
    const known = ["epsilon", "v_prediction"] as const;
    const x0 = sigmaPrediction(this.className, this.config.prediction_type, modelOutput, x, { sigma, known });
    return { x0, derivative: x.minus(x0).times(1 / sigma) };
  }
}
