import { shown } from "../../arguments/shown.js";
import type { ClassLabels } from "../../nn/unet/class_embedding.js";
import type { UNet2DModel } from "../../nn/unet/unet_2d.js";
import type { Scheduler } from "../../schedulers/index.js";
import { stepNoise } from "../../schedulers/noise.js";
import { noTensor } from "../../tensor/no_tensor.js";
import { linearCombination } from "../../tensor/ops/elementwise.js";
import { Tensor } from "../../tensor/tensor.js";
import { takeOptions } from "../call/call_options.js";
import { checkGenerators, initialNoise } from "../call/initial_noise.js";
import type { RawImage } from "../images/raw_image.js";
import {
  checkCount,
  sampleSize,
  UNCONDITIONAL_OPTIONS,
  UnconditionalPipeline,
  type ImagePipelineOutput,
  type UnconditionalOptions,
} from "./unconditional.js";
import type { Way } from "./unconditional_loop.js";

/** Arguments of a call; names and defaults as diffusers' ConsistencyModelPipeline.__call__. */
export interface ConsistencyModelOptions extends Omit<UnconditionalOptions, "numInferenceSteps"> {
  /** Default 1; null where `timesteps` say how many. */
  numInferenceSteps?: number | null;
  /** Of class-conditional models: a number for one picture, or one per picture; drawn at random unless told. Others ignore it. */
  classLabels?: ClassLabels | number | null;
  /** Indices into the training's levels, descending, instead of numInferenceSteps: [22, 0]. */
  timesteps?: readonly number[] | null;
  /** Noise [batchSize, channels, height, width] to begin with, of standard deviation 1. */
  latents?: Tensor | null;
  /** Called after every `callbackSteps` steps with a tensor that is freed after it. */
  callback?: ((step: number, timestep: number, latents: Tensor) => void | Promise<void>) | null;
  /** Default 1. */
  callbackSteps?: number;
}

const OPTIONS = {
  ...UNCONDITIONAL_OPTIONS,
  classLabels: true,
  timesteps: true,
  latents: true,
  callback: true,
  callbackSteps: false,
};

// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- Callable gives the call
export interface ConsistencyModelPipeline {
  (options: ConsistencyModelOptions & { outputType: "np" | "pt" }): Promise<ImagePipelineOutput<Tensor>>;
  (options?: ConsistencyModelOptions | null): Promise<ImagePipelineOutput>;
}

/**
 * Pictures from noise in one step or few, of a class where the model knows some (Song et al. 2023, arXiv 2303.01469), such as
 * openai/diffusers-cd_imagenet64_l2. diffusers/pipelines/consistency_models/pipeline_consistency_models.py
 */
// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- see above
export class ConsistencyModelPipeline extends UnconditionalPipeline {
  static override readonly className: string = "ConsistencyModelPipeline";

  /**
   * @returns images: RawImage[] by default, a Tensor for "np" and "pt" (the caller disposes it)
   * @throws TypeError, RangeError for wrong arguments; the signal's reason when aborted
   * @example
   * const { images } = await pipeline({ numInferenceSteps: null, timesteps: [22, 0], classLabels: 145 });
   */
  override async call(given?: ConsistencyModelOptions | null): Promise<ImagePipelineOutput<RawImage[] | Tensor>> {
    const options = takeOptions("ConsistencyModelPipeline", given, OPTIONS, "refuse") as ConsistencyModelOptions;
    const { batchSize = 1, generator, classLabels, timesteps, latents, callback, callbackSteps = 1 } = options;
    const numInferenceSteps = options.numInferenceSteps === undefined ? 1 : options.numInferenceSteps;
    if (numInferenceSteps === null && !timesteps)
      throw new TypeError("Exactly one of `numInferenceSteps` or `timesteps` must be supplied.");
    if (options.numInferenceSteps && timesteps)
      console.warn(
        `Both \`numInferenceSteps\`: ${shown(numInferenceSteps)} and \`timesteps\`: ${shown(timesteps)} are supplied; ` +
          "`timesteps` will be used over `numInferenceSteps`.",
      );
    checkCount("callbackSteps", callbackSteps);
    checkGenerators(generator, batchSize);
    return this.drawBy<Scheduler>({ ...options, numInferenceSteps }, (scheduler): Way => {
      const { device, unet } = this;
      if (latents) checkLatents(latents, [batchSize, unet.config.in_channels, ...sampleSize(unet)]);
      const labels = labelsFor(unet, batchSize, classLabels);
      return {
        schedule: timesteps ? () => scheduler.setTimesteps(null, { timesteps }) : undefined,
        begin: (shape) =>
          device.scope(() => {
            const noise = latents ?? initialNoise(device, shape, { generator, dtype: unet.dtype });
            return linearCombination([[scheduler.initNoiseSigma, noise]]);
          }),
        step: ({ t, sample, predict }) => {
          const output = predict(scheduler.scaleModelInput(sample, t), t, { classLabels: labels });
          return {
            sample: scheduler.step(output, t, sample, { generator: stepNoise(unet.dtype, generator) }).prevSample,
          };
        },
        stepped: async ({ t, index, sample }) => {
          if (callback && index % callbackSteps === 0) await callback(index, t, sample);
        },
      };
    });
  }
}

function checkLatents(latents: unknown, shape: readonly number[]): void {
  if (!(latents instanceof Tensor)) throw new TypeError(`\`latents\` must be a Tensor, got ${noTensor(latents)}`);
  if (latents.dtype === "float32" && latents.shape.join() === shape.join()) return;
  throw new RangeError(`\`latents\` must be float32 [${shape.join(", ")}], got ${String(latents)}`);
}

/** A label per picture; undefined for models without classes. */
function labelsFor(
  { config: { num_class_embeds: count } }: UNet2DModel,
  batch: number,
  given: ClassLabels | number | null | undefined,
): ClassLabels | undefined {
  if (count === null) return undefined;
  if (given === null || given === undefined)
    return Array.from({ length: batch }, () => Math.floor(Math.random() * count));
  if (given instanceof Tensor) return given;
  const labels = [given].flat() as unknown[];
  const wrong = labels.find((label) => !Number.isInteger(label) || (label as number) < 0 || (label as number) >= count);
  if (wrong !== undefined)
    throw new RangeError(`\`classLabels\` must be whole numbers from 0 to ${count - 1}, got ${shown(wrong)}`);
  if (typeof given !== "number") return given;
  if (batch === 1) return [given];
  throw new RangeError(
    `\`classLabels\`: one number is for one picture, got ${given} for ${batch}; give a list of ${batch}`,
  );
}
