import { KarrasVeScheduler } from "../../schedulers/index.js";
import { linearCombination } from "../../tensor/ops/elementwise.js";
import type { Tensor } from "../../tensor/tensor.js";
import { takeOptions } from "../call/call_options.js";
import { checkGenerators, initialNoise } from "../call/initial_noise.js";
import type { RawImage } from "../images/raw_image.js";
import type { Need } from "../loading/needed_components.js";
import {
  UNCONDITIONAL_OPTIONS,
  UnconditionalPipeline,
  type ImagePipelineOutput,
  type UnconditionalOptions,
} from "./unconditional.js";
import type { TimestepOfLoop } from "./unconditional_loop.js";

// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- Callable gives the call
export interface KarrasVePipeline {
  (options: UnconditionalOptions & { outputType: "np" | "pt" }): Promise<ImagePipelineOutput<Tensor>>;
  (options?: UnconditionalOptions | null): Promise<ImagePipelineOutput>;
}

/**
 * Pictures from noise alone by Heun's method with noise added on the way (Karras et al. 2022, arXiv 2206.00364, algorithm 2): two calls
 * of the UNet per step. diffusers/pipelines/deprecated/stochastic_karras_ve/pipeline_stochastic_karras_ve.py
 */
// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- see above
export class KarrasVePipeline extends UnconditionalPipeline {
  static override readonly className: string = "KarrasVePipeline";

  protected override get schedulerNeed(): Need {
    return { classes: [KarrasVeScheduler], purpose: "to draw" };
  }

  /**
   * @param given numInferenceSteps: at least 2
   * @returns images: RawImage[] by default, a Tensor for "np" and "pt" (the caller disposes it)
   * @throws RangeError for wrong arguments; the signal's reason when aborted
   */
  override async call(given?: UnconditionalOptions | null): Promise<ImagePipelineOutput<RawImage[] | Tensor>> {
    const options = takeOptions("KarrasVePipeline", given, UNCONDITIONAL_OPTIONS, "warn");
    const { batchSize = 1, generator } = options;
    checkGenerators(generator, batchSize);
    const { device } = this;
    const numInferenceSteps = options.numInferenceSteps ?? 50;
    return this.drawBy<KarrasVeScheduler>({ ...options, numInferenceSteps }, (scheduler) => ({
      // Drawn in single precision whatever the UNet's, as in diffusers.
      begin: (shape) =>
        device.scope(() =>
          linearCombination([[scheduler.initNoiseSigma, initialNoise(device, shape, { generator, dtype: "float32" })]]),
        ),
      calls: 2,
      step: ({ t, sample, predict }: TimestepOfLoop) => {
        // Input and output as in formula (213) of the paper.
        const score = (x: Tensor, sigma: number): Tensor => {
          const input = linearCombination([[0.5, x]], { offset: 0.5 });
          return linearCombination([[sigma / 2, predict(input, sigma / 2)]]);
        };
        const { schedule } = scheduler;
        const sigmaPrev = t > 0 ? schedule[t - 1] : 0;
        const [hat, sigmaHat] = scheduler.addNoiseToInput(sample, schedule[t], generator);
        const first = device.scope(() => scheduler.step(score(hat, sigmaHat), sigmaHat, sigmaPrev, hat));
        const { prevSample, derivative } = first;
        if (sigmaPrev === 0) return { sample: prevSample };
        const output = device.scope(() => score(prevSample, sigmaPrev));
        const second = scheduler.stepCorrect(output, sigmaHat, sigmaPrev, hat, prevSample, derivative);
        return { sample: second.prevSample };
      },
    }));
  }
}
