import type { Tensor } from "../tensor/tensor.js";
import { batched } from "./batched.js";
import { checkShapes } from "./checks.js";
import { DDIMScheduler } from "./ddim.js";
import { ddimUpdate } from "./ddim_formulas.js";
import type { StepOptions } from "./scheduler.js";
import { checkStepOptions } from "./step_options.js";

/** DDIM for sampling many timesteps at once (Shih et al. 2023, arXiv 2305.16317). diffusers: scheduling_ddim_parallel.py */
export class DDIMParallelScheduler extends DDIMScheduler {
  static override readonly className: string = "DDIMParallelScheduler";

  /**
   * The step of samples that are at different timesteps, without noise. After the last step ᾱ is 1, whatever
   * `set_alpha_to_one` says, as in diffusers.
   * @param modelOutput [batch, channels, height, width]
   * @param timesteps one for all samples or one per sample
   * @param sample of modelOutput's shape
   * @param options `useClippedModelOutput`, and `eta`, which must be 0
   * @returns the samples at the timesteps that follow; they belong to the caller
   * @throws Error before setTimesteps; RangeError for another eta, for shapes that differ, and for as many timesteps as there
   *   are no samples; TypeError for what is no tensor or number
   */
  batchStepNoNoise(
    modelOutput: Tensor,
    timesteps: number | readonly number[],
    sample: Tensor,
    options?: Pick<StepOptions, "eta" | "useClippedModelOutput"> | null,
  ): Tensor {
    const { className, config } = this;
    const stride = Math.floor(config.num_train_timesteps / this.stepsSet);
    const { eta = 0, useClippedModelOutput } = checkStepOptions(className, options, "batchStepNoNoise");
    if (eta !== 0) throw new RangeError(`${className}.batchStepNoNoise: eta must be 0, no noise is added, got ${eta}`);
    checkShapes(className, modelOutput, sample, "batchStepNoNoise");
    return batched(`${className}.batchStepNoNoise`, modelOutput, timesteps, sample, (output, timestep, x) => {
      const update = {
        alpha: this.alphaAt(timestep),
        alphaPrevious: timestep >= stride ? this.alphaAt(timestep - stride) : 1,
        predictionType: config.prediction_type,
        clip: config,
        useClippedModelOutput,
      };
      return ddimUpdate(className, update, output, x).prevSample;
    });
  }
}
