import type { Tensor } from "../tensor/tensor.js";
import {
  at,
  checkEnds,
  checkScheduleOptions,
  checkShapes,
  checkSteps,
  checkTrainTimesteps,
  optionsObject,
} from "./checks.js";
import { drawNoise, drawNoiseData } from "./noise.js";
import { mixAtTimes } from "./noising.js";
import { veCorrect, vePredict, veDiscreteSigmas, veSigmas, veTimesteps } from "./sde_ve_formulas.js";
import { Scheduler, type ScheduleOptions, type StepOptions, type StepResult } from "./scheduler.js";
import { checkStepOptions, type GivenStepOptions } from "./step_options.js";

const defaults = {
  num_train_timesteps: 2000,
  snr: 0.15,
  sigma_min: 0.01,
  sigma_max: 1348.0,
  sampling_eps: 1e-5,
  correct_steps: 1,
};
/** Keys of a ScoreSdeVeScheduler's config, with diffusers' meaning and defaults. */
export type ScoreSdeVeConfig = typeof defaults;

/**
 * Variance-exploding SDE with predictor and corrector (Song et al. 2021, arXiv 2011.13456). Each timestep takes
 * `correct_steps` calls of `stepCorrect` and one of `stepPred`. diffusers: scheduling_sde_ve.py
 */
export class ScoreSdeVeScheduler extends Scheduler<ScoreSdeVeConfig> {
  static override readonly className: string = "ScoreSdeVeScheduler";
  static override readonly defaults = defaults;
  /** Levels at the timesteps, which are what the model takes for the time. */
  sigmas: number[] = [];
  /** Levels of the schedule in ascending order. */
  discreteSigmas = new Float32Array();

  constructor(options: Partial<ScoreSdeVeConfig> = {}) {
    super(options);
    checkEnds(this.className, this.config);
    const train = checkTrainTimesteps(this.className, this.config.num_train_timesteps);
    this.setTimesteps(train);
    this.setSigmas(train);
    this.numInferenceSteps = null;
  }

  get initNoiseSigma(): number {
    return this.config.sigma_max;
  }

  /** Times from 1 down to `sampling_eps`. `setSigmas` must follow. */
  setTimesteps(numInferenceSteps: number | null, options: ScheduleOptions & { samplingEps?: number } = {}): void {
    const { samplingEps = this.config.sampling_eps, ...others } = optionsObject(this.className, options);
    checkScheduleOptions(this.className, ScoreSdeVeScheduler.customSchedules, others);
    const n = checkSteps(this, numInferenceSteps);
    this.timesteps = veTimesteps(n, samplingEps);
    this.numInferenceSteps = n;
  }

  /** Levels from sigma_max down to sigma_min, as many as there are timesteps. */
  setSigmas(
    numInferenceSteps: number,
    { sigmaMin = this.config.sigma_min, sigmaMax = this.config.sigma_max } = {},
  ): void {
    const n = checkSteps(this, numInferenceSteps);
    this.discreteSigmas = veDiscreteSigmas(n, sigmaMin, sigmaMax);
    this.sigmas = veSigmas(this.timesteps, sigmaMin, sigmaMax);
  }

  /** The sample itself. */
  scaleModelInput(sample: Tensor, _timestep?: number): Tensor {
    return sample;
  }

  /** The predictor's step, as `stepPred`. */
  step(modelOutput: Tensor, timestep: number, sample: Tensor, options?: StepOptions | null): StepResult {
    return this.#predict(modelOutput, timestep, sample, checkStepOptions(this.className, options));
  }

  /** Reverse diffusion: from the level at `timestep` to the one below. `prevSampleMean` is without the noise. */
  stepPred(modelOutput: Tensor, timestep: number, sample: Tensor, options?: StepOptions | null): StepResult {
    return this.#predict(modelOutput, timestep, sample, checkStepOptions(this.className, options, "stepPred"));
  }

  #predict(
    modelOutput: Tensor,
    timestep: number,
    sample: Tensor,
    { generator, varianceNoise }: GivenStepOptions,
  ): StepResult {
    checkShapes(this.className, modelOutput, sample);
    const at = { sigmas: this.discreteSigmas, steps: this.timesteps.length, timestep };
    return sample.device.scope(() =>
      vePredict(this.className, at, modelOutput, sample, varianceNoise ?? drawNoise(sample, generator)),
    );
  }

  /** Langevin dynamics at one level: the signal-to-noise ratio `snr` fixes the size of the step. */
  stepCorrect(modelOutput: Tensor, sample: Tensor, options?: StepOptions | null): StepResult {
    const { generator } = checkStepOptions(this.className, options, "stepCorrect");
    checkShapes(this.className, modelOutput, sample);
    const noise = drawNoiseData(sample, generator, "float32");
    return sample.device.scope(() => ({ prevSample: veCorrect(this.config.snr, modelOutput, sample, noise) }));
  }

  /**
   * x + σ noise: the forward process.
   * @param timesteps indices into `discreteSigmas`, one for all samples or one per sample
   */
  addNoise(x: Tensor, noise: Tensor, timesteps: number | readonly number[]): Tensor {
    const { className, discreteSigmas } = this;
    return mixAtTimes(`${className}.addNoise`, x, noise, timesteps, (t) => [1, at(className, discreteSigmas, t)]);
  }
}
