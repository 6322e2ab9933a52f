import { Tensor } from "../tensor/tensor.js";
import { BETA_DEFAULTS } from "./betas.js";
import { brownianNoise, type NoiseSampler } from "./brownian.js";
import { checkScheduleOptions, checkShapes } from "./checks.js";
import type { Choice } from "./config.js";
import { DiscreteScheduler } from "./discrete_scheduler.js";
import { ancestralLevels } from "./euler_ancestral_discrete.js";
import { twice } from "./heun_discrete.js";
import { Slot } from "./history.js";
import { Linear } from "./linear.js";
import { sigmaPrediction } from "./prediction.js";
import { KARRAS_SCHEDULERS, type ScheduleOptions, type StepOptions, type StepResult } from "./scheduler.js";
import { checkStepOptions } from "./step_options.js";
import { sigmaToTimestep } from "./sigmas.js";
import type { Spacing } from "./spacing.js";

const defaults = {
  ...BETA_DEFAULTS,
  beta_start: 0.00085,
  beta_end: 0.012,
  prediction_type: "epsilon" as Choice<"epsilon" | "v_prediction">,
  use_karras_sigmas: false,
  use_exponential_sigmas: false,
  use_beta_sigmas: false,
  noise_sampler_seed: null as number | readonly number[] | null,
  timestep_spacing: "linspace" as Choice<Spacing>,
  steps_offset: 0,
};
/** Keys of a DPMSolverSDEScheduler's config, with diffusers' meaning and defaults. */
export type DPMSolverSDEConfig = typeof defaults;

const f32 = Math.fround;
/** The time of these formulas is -ln σ, in torch's float32. */
const timeOf = (sigma: number): number => f32(-Math.log(sigma));
const sigmaOf = (t: number): number => f32(Math.exp(-t));

/** Stochastic DPM-Solver++ in two halves (k-diffusion, sample_dpmpp_sde). diffusers: scheduling_dpmsolver_sde.py */
export class DPMSolverSDEScheduler extends DiscreteScheduler<DPMSolverSDEConfig> {
  static override readonly className: string = "DPMSolverSDEScheduler";
  static override readonly defaults = defaults;
  static override readonly compatibleNames = KARRAS_SCHEDULERS;
  override readonly order = 2;
  /** Noise between two levels; made at the first step from `noise_sampler_seed`. */
  noiseSampler: NoiseSampler | null = null;
  /** Sample of the first half of a step, while the second is due, and the level of the second half. */
  readonly #start = new Slot();
  #middle = 0;

  constructor(options: Partial<DPMSolverSDEConfig> = {}) {
    super(options);
    this.setTimesteps(this.config.num_train_timesteps);
  }

  /** n steps run the model 2n - 1 times. */
  setTimesteps(numInferenceSteps: number | null, options: ScheduleOptions = {}): void {
    options = checkScheduleOptions(this.className, DPMSolverSDEScheduler.customSchedules, options);
    const n = this.countSteps(numInferenceSteps, options);
    const { times, levels } = this.spaced(n, undefined, { exact: true, bounded: false });
    const middles = levels.slice(1).map((sigma, i) => {
      const [from, to] = [-Math.log(levels[i]), -Math.log(sigma)];
      return sigmaToTimestep(Math.exp(-(from + (to - from) * 0.5)), this.logTable);
    });
    const [first, ...rest] = times;
    this.begin(n, [first, ...rest.flatMap((t, i) => [middles[i], t])], [...twice(levels), 0]);
    this.noiseSampler = null;
  }

  override reset(): void {
    super.reset();
    this.#start.clear();
    this.noiseSampler = null;
  }

  /** Whether the next step is the first half of a step. */
  get stateInFirstOrder(): boolean {
    return this.#start.value === null;
  }

  override scaleModelInput(sample: Tensor, timestep: number): Tensor {
    const sigma = this.sigmaNow(timestep);
    const level = this.stateInFirstOrder ? sigma : this.#middle;
    return Linear.of(sample, 1 / Math.sqrt(level ** 2 + 1)).toTensor();
  }

  #noise(shape: readonly number[]): NoiseSampler {
    if (this.noiseSampler) return this.noiseSampler;
    const positive = this.sigmas.filter((sigma) => sigma > 0);
    const ends = [positive.reduce((a, b) => Math.min(a, b)), positive.reduce((a, b) => Math.max(a, b))] as const;
    const seed = this.config.noise_sampler_seed ?? Math.floor(Math.random() * 2 ** 53);
    return (this.noiseSampler = brownianNoise(shape, ends, seed));
  }

  /** @param options `sNoise` scales the noise */
  step(modelOutput: Tensor, timestep: number, sample: Tensor, options?: StepOptions | null): StepResult {
    const { sNoise = 1 } = checkStepOptions(this.className, options);
    const { className, config, sigmas } = this;
    checkShapes(className, modelOutput, sample);
    const index = this.indexOfStep(timestep);
    const start = this.#start.value;
    const [sigma, next] = start ? [sigmas[index - 1], sigmas[index]] : [sigmas[index], sigmas[index + 1]];
    const [t, tNext] = [timeOf(sigma), timeOf(next)];
    const half = f32(t + f32(f32(tNext - t) * 0.5));
    const level = start ? sigmaOf(half) : sigma;
    const result = sample.device.scope(() => {
      const x = Linear.of(sample);
      const known = ["epsilon", "v_prediction"] as const;
      const x0 = sigmaPrediction(className, config.prediction_type, modelOutput, x, { sigma: level, known });
      const predOriginalSample = x0.toTensor();
      if (next === 0) {
        const derivative = x.minus(x0).times(1 / sigma);
        return { prevSample: x.plus(derivative, -sigma).toTensor(), predOriginalSample };
      }
      const [from, to] = [sigmaOf(t), sigmaOf(start ? tNext : half)];
      const up = Math.min(to, ancestralLevels(from, to).up);
      const down = timeOf(f32(Math.sqrt(f32(f32(to * to) - f32(up * up)))));
      const noise = Tensor.from(this.#noise(sample.shape)(from, to), sample.shape, {
        dtype: sample.dtype,
        device: sample.device,
      });
      const previous = Linear.of(start ?? sample, sigmaOf(down) / from).plus(x0, -Math.expm1(t - down));
      if (!start) {
        this.#start.set(sample);
        this.#middle = to;
      }
      return { prevSample: previous.plus(noise, up * sNoise).toTensor(), predOriginalSample };
    });
    if (start) this.#start.clear();
    this.advance();
    return result;
  }
}
