import type { Tensor } from "../tensor/tensor.js";
import { batched } from "./batched.js";
import { checkTensors } from "./checks.js";
import { DDPMScheduler } from "./ddpm.js";
import { ddpmUpdate } from "./ddpm_formulas.js";

/** DDPM for sampling many timesteps at once (Shih et al. 2023, arXiv 2305.16317). diffusers: scheduling_ddpm_parallel.py */
export class DDPMParallelScheduler extends DDPMScheduler {
  static override readonly className: string = "DDPMParallelScheduler";

  /**
   * The step of samples that are at different timesteps, without noise: the mean of formula (7). As in diffusers it leads to
   * the timestep at the usual distance, also where `setTimesteps` was given timesteps of another.
   * @param modelOutput [batch, channels, height, width], or with twice the channels where variances are learned
   * @param timesteps one for all samples or one per sample
   * @param sample [batch, channels, height, width]
   * @returns the samples at the timesteps that follow; they belong to the caller
   * @throws RangeError for shapes that differ, and for as many timesteps as there are no samples; TypeError for what is no
   *   tensor or number
   */
  batchStepNoNoise(modelOutput: Tensor, timesteps: number | readonly number[], sample: Tensor): Tensor {
    const { className, config } = this;
    const train = config.num_train_timesteps;
    const stride = Math.floor(train / (this.numInferenceSteps ?? train));
    checkTensors(className, modelOutput, sample, "batchStepNoNoise");
    return batched(`${className}.batchStepNoNoise`, modelOutput, timesteps, sample, (output, timestep, x) => {
      const update = {
        alpha: this.alphaAt(timestep),
        alphaPrevious: timestep >= stride ? this.alphaAt(timestep - stride) : 1,
        predictionType: config.prediction_type,
        varianceType: config.variance_type,
        clip: config,
        noise: null,
      };
      return ddpmUpdate(className, update, output, x).prevSample;
    });
  }
}
