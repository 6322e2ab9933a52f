import type { Tensor } from "../../tensor/tensor.js";
import { takeOptions } from "../call/call_options.js";
import type { RawImage } from "../images/raw_image.js";
import {
  UNCONDITIONAL_OPTIONS,
  UnconditionalPipeline,
  type ImagePipelineOutput,
  type UnconditionalOptions,
} from "./unconditional.js";

// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- Callable gives the call
export interface DDPMPipeline {
  (options: UnconditionalOptions & { outputType: "np" | "pt" }): Promise<ImagePipelineOutput<Tensor>>;
  (options?: UnconditionalOptions | null): Promise<ImagePipelineOutput>;
}

/** Pictures from noise alone (Ho et al. 2020), diffusers/pipelines/ddpm/pipeline_ddpm.py. */
// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- see above
export class DDPMPipeline extends UnconditionalPipeline {
  static override readonly className: string = "DDPMPipeline";

  /**
   * @returns images: RawImage[] by default, a Tensor for "np" and "pt" (the caller disposes it)
   * @throws RangeError for wrong arguments; the signal's reason when aborted
   * @example
   * const pipeline = await DDPMPipeline.fromPretrained("google/ddpm-cifar10-32");
   * const { images } = await pipeline({ batchSize: 4, generator: new Generator("cpu").manualSeed(0) });
   */
  override async call(given?: UnconditionalOptions | null): Promise<ImagePipelineOutput<RawImage[] | Tensor>> {
    const options = takeOptions("DDPMPipeline", given, UNCONDITIONAL_OPTIONS, "refuse");
    const { generator } = options;
    return this.draw({ ...options, numInferenceSteps: options.numInferenceSteps ?? 1000 }, { generator });
  }
}
