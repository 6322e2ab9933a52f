import type { Tensor } from "../tensor/tensor.js";
import { linspace } from "./betas.js";
import { checkScheduleOptions, checkShapes, checkSteps, checkTrainTimesteps } from "./checks.js";
import { History } from "./history.js";
import { IndexedScheduler } from "./indexed_scheduler.js";
import { Linear } from "./linear.js";
import { adamsBashforth } from "./multistep.js";
import type { ScheduleOptions, StepOptions, StepResult } from "./scheduler.js";
import { checkStepOptions } from "./step_options.js";

const defaults = { num_train_timesteps: 1000, trained_betas: null as readonly number[] | null };
/** Keys of an IPNDMScheduler's config, with diffusers' meaning and defaults. */
export type IPNDMConfig = typeof defaults;

/** Improved pseudo linear multistep method (Zhang & Chen 2022, arXiv 2204.13902; v-diffusion-pytorch). diffusers: scheduling_ipndm.py */
export class IPNDMScheduler extends IndexedScheduler<IPNDMConfig> {
  static override readonly className: string = "IPNDMScheduler";
  static override readonly defaults = defaults;
  readonly initNoiseSigma = 1;
  /** Rates of noise and signal at each step and after the last, float32. `trained_betas` fix them, and so the steps. */
  betas = new Float32Array();
  alphas = new Float32Array();
  readonly #outputs = new History(4);

  constructor(options: Partial<IPNDMConfig> = {}) {
    super(options);
    this.setTimesteps(checkTrainTimesteps(this.className, this.config.num_train_timesteps));
  }

  setTimesteps(numInferenceSteps: number | null, options: ScheduleOptions = {}): void {
    checkScheduleOptions(this.className, IPNDMScheduler.customSchedules, options);
    const n = checkSteps(this, numInferenceSteps);
    const trained = this.config.trained_betas;
    const steps = linspace(1, 0, n + 1).map((x, i) => (i === n ? 0 : x));
    this.betas = trained
      ? Float32Array.from(trained)
      : steps.map((x) => Math.fround(Math.sin(Math.fround(Math.fround(x * Math.PI) / 2))) ** 2);
    this.alphas = this.betas.map((beta) => Math.sqrt(Math.fround(1 - Math.fround(beta * beta))));
    this.timesteps = Array.from(this.betas.subarray(0, -1), (beta, i) =>
      Math.fround(Math.fround(Math.fround(Math.atan2(beta, this.alphas[i])) / Math.PI) * 2),
    );
    this.numInferenceSteps = n;
    this.restart();
  }

  override reset(): void {
    super.reset();
    this.#outputs.clear();
  }

  /** The sample itself. */
  scaleModelInput(sample: Tensor, _timestep?: number): Tensor {
    return sample;
  }

  step(modelOutput: Tensor, timestep: number, sample: Tensor, options?: StepOptions | null): StepResult {
    checkStepOptions(this.className, options);
    checkShapes(this.className, modelOutput, sample);
    const index = this.indexOfStep(timestep);
    const [alpha, beta] = [this.alphas[index], this.betas[index]];
    const result = sample.device.scope(() => {
      this.#outputs.push(Linear.of(sample, beta).plus(modelOutput, alpha));
      const output = adamsBashforth(this.#outputs.newestFirst);
      // Where alpha is 0 the sample cancels: it must do so before the difference is scaled up by 1e8.
      const difference = Linear.of(sample).plus(output, -beta).toTensor();
      const scale = this.alphas[index + 1] / Math.max(alpha, 1e-8);
      return {
        prevSample: Linear.of(difference, scale)
          .plus(output, this.betas[index + 1])
          .toTensor(),
      };
    });
    this.advance();
    return result;
  }
}
