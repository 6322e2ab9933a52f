import { langevin } from "../tensor/ops/langevin.js";
import { Tensor } from "../tensor/tensor.js";
import { linspace } from "./betas.js";
import { at, checkScheduleOptions, checkShapes, checkSteps } from "./checks.js";
import { Linear } from "./linear.js";
import { drawNoise, drawNoiseData } from "./noise.js";
import { mixAtTimes } from "./noising.js";
import { Scheduler, type ScheduleOptions, type StepOptions, type StepResult } from "./scheduler.js";

const defaults = {
  num_train_timesteps: 2000,
  snr: 0.15,
  sigma_min: 0.01,
  sigma_max: 1348.0,
  sampling_eps: 1e-5,
  correct_steps: 1,
};
export type ScoreSdeVeConfig = typeof defaults;

const f32 = Math.fround;

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
    const train = checkSteps(this.className, this.config.num_train_timesteps, 1e6);
    this.setTimesteps(train);
    this.setSigmas(train);
    this.numInferenceSteps = null;
  }

  get initNoiseSigma(): number {
    return this.config.sigma_max;
  }

  /** Times from 1 down to `sampling_eps`. `setSigmas` must follow. */
  setTimesteps(numInferenceSteps: number | null, options: ScheduleOptions & { samplingEps?: number } = {}): void {
    const { samplingEps = this.config.sampling_eps, ...others } = options;
    checkScheduleOptions(this.className, ScoreSdeVeScheduler.customSchedules, others);
    const n = checkSteps(this.className, numInferenceSteps);
    this.timesteps = Array.from(linspace(1, samplingEps, n));
    this.numInferenceSteps = n;
  }

  /** Levels from sigma_max down to sigma_min, as many as there are timesteps. */
  setSigmas(
    numInferenceSteps: number,
    { sigmaMin = this.config.sigma_min, sigmaMax = this.config.sigma_max } = {},
  ): void {
    const n = checkSteps(this.className, numInferenceSteps);
    this.discreteSigmas = linspace(Math.log(sigmaMin), Math.log(sigmaMax), n).map(Math.exp);
    this.sigmas = this.timesteps.map((t) => f32(sigmaMin * f32(f32(sigmaMax / sigmaMin) ** t)));
  }

  /** The sample itself. */
  scaleModelInput(sample: Tensor, _timestep?: number): Tensor {
    return sample;
  }

  /** The predictor's step, as `stepPred`. */
  step(modelOutput: Tensor, timestep: number, sample: Tensor, options: StepOptions = {}): StepResult {
    return this.stepPred(modelOutput, timestep, sample, options);
  }

  #checkReady(method: string): void {
    if (this.numInferenceSteps === null)
      throw new Error(`${this.className}.${method}: call setTimesteps and setSigmas first`);
  }

  /** Reverse diffusion: from the level at `timestep` to the one below. `prevSampleMean` is without the noise. */
  stepPred(
    modelOutput: Tensor,
    timestep: number,
    sample: Tensor,
    { generator, varianceNoise }: StepOptions = {},
  ): StepResult {
    this.#checkReady("stepPred");
    checkShapes(this.className, modelOutput, sample);
    const index = Math.trunc(f32(f32(timestep) * (this.timesteps.length - 1)));
    const sigma = at(this.className, this.discreteSigmas, index);
    const below = index === 0 ? 0 : this.discreteSigmas[index - 1];
    const variance = sigma ** 2 - below ** 2;
    return sample.device.scope(() => {
      const mean = Linear.of(sample).plus(modelOutput, variance);
      const noise = varianceNoise ?? drawNoise(sample, generator);
      return { prevSample: mean.plus(noise, Math.sqrt(variance)).toTensor(), prevSampleMean: mean.toTensor() };
    });
  }

  /** Langevin dynamics at one level: the signal-to-noise ratio `snr` fixes the size of the step. */
  stepCorrect(modelOutput: Tensor, sample: Tensor, { generator }: StepOptions = {}): StepResult {
    this.#checkReady("stepCorrect");
    checkShapes(this.className, modelOutput, sample);
    const data = drawNoiseData(sample, generator);
    const batch = sample.shape[0];
    const width = data.length / batch;
    const norms = Array.from({ length: batch }, (_, b) =>
      Math.sqrt(data.subarray(b * width, (b + 1) * width).reduce((sum, v) => sum + v * v, 0)),
    );
    const strength = (this.config.snr * norms.reduce((a, b) => a + b, 0)) / batch;
    return sample.device.scope(() => {
      const noise = Tensor.from(data, sample.shape, { device: sample.device });
      return { prevSample: langevin(sample, modelOutput, noise, strength) };
    });
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
