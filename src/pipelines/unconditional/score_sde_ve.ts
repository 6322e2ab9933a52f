import { ScoreSdeVeScheduler } from "../../schedulers/index.js";
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
export interface ScoreSdeVePipeline {
  (options: UnconditionalOptions & { outputType: "np" | "pt" }): Promise<ImagePipelineOutput<Tensor>>;
  (options?: UnconditionalOptions | null): Promise<ImagePipelineOutput>;
}

/**
 * Pictures from noise alone by a predictor and a corrector (Song et al. 2021, arXiv 2011.13456), google/ncsnpp-* on the hub:
 * `correct_steps + 1` calls of the UNet per step. diffusers/pipelines/deprecated/score_sde_ve/pipeline_score_sde_ve.py
 */
// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- see above
export class ScoreSdeVePipeline extends UnconditionalPipeline {
  static override readonly className: string = "ScoreSdeVePipeline";

  protected override get schedulerNeed(): Need {
    return { classes: [ScoreSdeVeScheduler], purpose: "to draw" };
  }

  /**
   * @returns images: RawImage[] by default, a Tensor for "np" and "pt" (the caller disposes it)
   * @throws RangeError for wrong arguments; the signal's reason when aborted
   */
  override async call(given?: UnconditionalOptions | null): Promise<ImagePipelineOutput<RawImage[] | Tensor>> {
    const options = takeOptions("ScoreSdeVePipeline", given, UNCONDITIONAL_OPTIONS, "warn");
    const { batchSize = 1, generator } = options;
    checkGenerators(generator, batchSize);
    const numInferenceSteps = options.numInferenceSteps ?? 2000;
    const { device } = this;
    return this.drawBy<ScoreSdeVeScheduler>({ ...options, numInferenceSteps }, (scheduler) => ({
      schedule: () => {
        scheduler.setTimesteps(numInferenceSteps);
        scheduler.setSigmas(numInferenceSteps);
      },
      // Drawn in single precision whatever the UNet's, as in diffusers.
      begin: (shape) =>
        device.scope(() =>
          linearCombination([[scheduler.initNoiseSigma, initialNoise(device, shape, { generator, dtype: "float32" })]]),
        ),
      calls: scheduler.config.correct_steps + 1,
      step: ({ t, index, sample, predict }: TimestepOfLoop) => {
        const sigma = scheduler.sigmas[index];
        let x = sample;
        for (let i = 0; i < scheduler.config.correct_steps; i++) {
          const before = x;
          x = device.scope(() => scheduler.stepCorrect(predict(before, sigma), before, { generator }).prevSample);
          if (before !== sample) before.dispose();
        }
        const { prevSample, prevSampleMean } = scheduler.stepPred(predict(x, sigma), t, x, { generator });
        return { sample: prevSample, picture: prevSampleMean };
      },
      // These models' pictures are in [0, 1].
      drawn: (picture) => linearCombination([[2, picture]], { offset: -1 }),
    }));
  }
}
