import { shown } from "../arguments/shown.js";
import { Tensor } from "../tensor/tensor.js";
import { checkEnds, checkScheduleOptions, checkShapes, checkSteps } from "./checks.js";
import {
  KARRAS_VE_DEFAULTS,
  veChurn,
  veEuler,
  veHeun,
  veSchedule,
  type KarrasVeValues,
  type VeUpdate,
} from "./karras_ve_formulas.js";
import { drawNoise, type NoiseSource } from "./noise.js";
import { Scheduler, type ScheduleOptions, type StepOptions, type StepResult } from "./scheduler.js";

/** Keys of a KarrasVeScheduler's config, with diffusers' meaning and defaults. */
export type KarrasVeConfig = KarrasVeValues;

/**
 * Stochastic sampling for variance-exploding models (Karras et al. 2022, arXiv 2206.00364, algorithm 2): each timestep takes
 * `addNoiseToInput`, `step`, and `stepCorrect` with the model's second answer. diffusers: deprecated/scheduling_karras_ve.py
 */
export class KarrasVeScheduler extends Scheduler<KarrasVeConfig> {
  static override readonly className: string = "KarrasVeScheduler";
  static override readonly defaults = KARRAS_VE_DEFAULTS;
  static override readonly intKeys = ["sigma_max"];
  override readonly order = 2;
  /** σ of each timestep, which is its index; as in diffusers these are squares of the paper's. */
  schedule: number[] = [];

  constructor(options: Partial<KarrasVeConfig> = {}) {
    super(options);
    checkEnds(this.className, this.config);
  }

  get initNoiseSigma(): number {
    return this.config.sigma_max;
  }

  /** At least 2 steps. */
  setTimesteps(numInferenceSteps: number | null, options: ScheduleOptions = {}): void {
    checkScheduleOptions(this.className, KarrasVeScheduler.customSchedules, options);
    const n = checkSteps(this, numInferenceSteps);
    const { timesteps, schedule } = veSchedule(this.className, this.config, n);
    this.timesteps = timesteps;
    this.schedule = schedule;
    this.numInferenceSteps = n;
  }

  /** The sample itself. */
  scaleModelInput(sample: Tensor, _timestep?: number): Tensor {
    return sample;
  }

  /**
   * Raises the noise level of a sample from `sigma` to sigmaHat = σ + γ σ.
   * @param generator of the noise, which is drawn even where γ is 0; a list has one per sample
   * @returns sampleHat, which belongs to the caller, and sigmaHat
   */
  addNoiseToInput(
    sample: Tensor,
    sigma: number,
    generator?: NoiseSource | readonly NoiseSource[] | null,
  ): [sampleHat: Tensor, sigmaHat: number] {
    const n = this.numInferenceSteps;
    if (n === null) throw new Error(`${this.className}.addNoiseToInput: call setTimesteps first`);
    return sample.device.scope(() => veChurn(this.config, n, sample, sigma, drawNoise(sample, generator, "float32")));
  }

  /**
   * Euler's step from `sigmaHat` to `sigmaPrev`.
   * @param modelOutput the model's score of `sampleHat`
   * @returns also the `derivative`, which `stepCorrect` takes
   */
  override step(
    modelOutput: Tensor,
    sigmaHat: number,
    sigmaPrev: number,
    sampleHat: Tensor,
  ): StepResult & Required<Pick<StepResult, "derivative">>;
  /** As other schedulers are called, which do not say to which level. @throws TypeError always */
  override step(modelOutput: Tensor, timestep: number, sample: Tensor, options?: StepOptions | null): never;
  override step(
    modelOutput: Tensor,
    sigmaHat: number,
    sigmaPrev: number | Tensor,
    sampleHat?: Tensor | StepOptions | null,
  ): StepResult {
    const { className } = this;
    if (typeof sigmaPrev !== "number" || !(sampleHat instanceof Tensor))
      throw new TypeError(
        `${className}.step: takes modelOutput, sigmaHat, sigmaPrev and sampleHat, got ${shown(sigmaPrev)} for sigmaPrev and ` +
          `${shown(sampleHat)} for sampleHat; of the pipelines KarrasVePipeline calls it`,
      );
    checkShapes(className, modelOutput, sampleHat);
    return sampleHat.device.scope(() => told(veEuler(modelOutput, { sigmaHat, sigmaPrev, sampleHat })));
  }

  /**
   * Heun's correction of a step.
   * @param modelOutput the model's score of `samplePrev`, which `step` gave with `derivative`
   */
  stepCorrect(
    modelOutput: Tensor,
    sigmaHat: number,
    sigmaPrev: number,
    sampleHat: Tensor,
    samplePrev: Tensor,
    derivative: Tensor,
  ): StepResult & Required<Pick<StepResult, "derivative">> {
    checkShapes(this.className, modelOutput, samplePrev, "stepCorrect");
    const step = { sigmaHat, sigmaPrev, sampleHat };
    return sampleHat.device.scope(() => told(veHeun(modelOutput, step, { samplePrev, derivative })));
  }

  /** @throws Error always: this sampler has `addNoiseToInput` instead, as in diffusers */
  addNoise(): never {
    throw new Error(
      `${this.className}.addNoise: this scheduler has none; use addNoiseToInput(sample, sigma, generator)`,
    );
  }
}

const told = ({ prevSample, derivative, x0 }: VeUpdate): StepResult & Required<Pick<StepResult, "derivative">> => ({
  prevSample,
  derivative,
  predOriginalSample: x0.toTensor(),
});
