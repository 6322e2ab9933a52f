import { PNDMScheduler, Scheduler } from "../../schedulers/index.js";
import type { Tensor } from "../../tensor/tensor.js";
import { takeOptions } from "../call/call_options.js";
import type { RawImage } from "../images/raw_image.js";
import { needComponent } from "../loading/needed_components.js";
import {
  UNCONDITIONAL_OPTIONS,
  UnconditionalPipeline,
  type ImagePipelineOutput,
  type UnconditionalComponents,
  type UnconditionalOptions,
} from "./unconditional.js";

// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- Callable gives the call
export interface PNDMPipeline {
  (options: UnconditionalOptions & { outputType: "np" | "pt" }): Promise<ImagePipelineOutput<Tensor>>;
  (options?: UnconditionalOptions | null): Promise<ImagePipelineOutput>;
}

/** Pictures from noise alone by a multistep method (Liu et al. 2022), diffusers/pipelines/deprecated/pndm/pipeline_pndm.py. */
// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- see above
export class PNDMPipeline extends UnconditionalPipeline {
  static override readonly className: string = "PNDMPipeline";

  /** @param components the parts by their names in model_index.json; any scheduler is converted to PNDM */
  constructor(components: UnconditionalComponents) {
    super(components);
    needComponent("PNDMPipeline", "scheduler", this.scheduler, { classes: [Scheduler], purpose: "for its config" });
    this.scheduler = PNDMScheduler.fromConfig(this.scheduler.config);
  }

  /**
   * @returns images: RawImage[] by default, a Tensor for "np" and "pt" (the caller disposes it)
   * @throws RangeError for wrong arguments; the signal's reason when aborted
   */
  override async call(given?: UnconditionalOptions | null): Promise<ImagePipelineOutput<RawImage[] | Tensor>> {
    const options = takeOptions("PNDMPipeline", given, UNCONDITIONAL_OPTIONS, "warn");
    return this.draw({ ...options, numInferenceSteps: options.numInferenceSteps ?? 50 }, {});
  }
}
