import { DDIMScheduler, Scheduler } from "../../schedulers/index.js";
import type { Tensor } from "../../tensor/tensor.js";
import { takeOptions } from "../call/call_options.js";
import { checkFinite } from "../call/check_inputs.js";
import { checkGenerators } from "../call/initial_noise.js";
import type { RawImage } from "../images/raw_image.js";
import { needComponent } from "../loading/needed_components.js";
import {
  UNCONDITIONAL_OPTIONS,
  UnconditionalPipeline,
  type ImagePipelineOutput,
  type UnconditionalComponents,
  type UnconditionalOptions,
} from "./unconditional.js";

/** Arguments of a call; names and defaults as diffusers' DDIMPipeline.__call__. */
export interface DDIMOptions extends UnconditionalOptions {
  /** Weight of the steps' noise: 0 (the default) is deterministic, 1 is DDPM. */
  eta?: number;
  /** Derive each step's direction from the clipped guess of the picture. Default false. */
  useClippedModelOutput?: boolean | null;
}

const DDIM_OPTIONS = { ...UNCONDITIONAL_OPTIONS, eta: false, useClippedModelOutput: true };

// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- Callable gives the call
export interface DDIMPipeline {
  (options: DDIMOptions & { outputType: "np" | "pt" }): Promise<ImagePipelineOutput<Tensor>>;
  (options?: DDIMOptions | null): Promise<ImagePipelineOutput>;
}

/** Pictures from noise alone in few steps (Song et al. 2021), diffusers/pipelines/ddim/pipeline_ddim.py. */
// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- see above
export class DDIMPipeline extends UnconditionalPipeline {
  static override readonly className: string = "DDIMPipeline";

  /** @param components the parts by their names in model_index.json; any scheduler is converted to DDIM */
  constructor(components: UnconditionalComponents) {
    super(components);
    needComponent("DDIMPipeline", "scheduler", this.scheduler, { classes: [Scheduler], purpose: "for its config" });
    this.scheduler = DDIMScheduler.fromConfig(this.scheduler.config);
  }

  /**
   * @returns images: RawImage[] by default, a Tensor for "np" and "pt" (the caller disposes it)
   * @throws RangeError for wrong arguments; the signal's reason when aborted
   */
  override async call(given?: DDIMOptions | null): Promise<ImagePipelineOutput<RawImage[] | Tensor>> {
    const options = takeOptions("DDIMPipeline", given, DDIM_OPTIONS, "refuse");
    const { batchSize = 1, generator, eta = 0, useClippedModelOutput } = options;
    checkFinite("eta", eta);
    if (eta < 0 || eta > 1)
      console.warn(
        `\`eta\` should be between 0 and 1 (inclusive), but received ${eta}. A value of 0 corresponds to DDIM and 1 ` +
          "corresponds to DDPM. Unexpected results may occur for values outside this range.",
      );
    checkGenerators(generator, batchSize);
    const step = { eta, generator, useClippedModelOutput };
    return this.draw({ ...options, numInferenceSteps: options.numInferenceSteps ?? 50 }, step);
  }
}
