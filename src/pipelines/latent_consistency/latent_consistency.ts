import { throwIfAborted } from "../../arguments/signal.js";
import type { Tensor } from "../../tensor/tensor.js";
import { takeOptions } from "../call/call_options.js";
import { LCM_TENSORS } from "../call/callback_tensors.js";
import { checkInputs } from "../call/check_inputs.js";
import { warnOfLegacyCallback } from "../call/legacy_callback.js";
import { prepareLatents } from "../call/prepare.js";
import type { RawImage } from "../images/raw_image.js";
import type { Prompt, StableDiffusionOutput } from "../stable_diffusion/stable_diffusion_options.js";
import {
  LatentConsistencyBase,
  LCM_DEFAULTS,
  LCM_OPTIONS,
  type LatentConsistencyOptions,
} from "./latent_consistency_base.js";

// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- Callable gives the call
export interface LatentConsistencyModelPipeline {
  (
    prompt: Prompt,
    options: LatentConsistencyOptions & { outputType: "np" | "pt" | "latent" },
  ): Promise<StableDiffusionOutput<Tensor>>;
  (prompt: Prompt, options?: LatentConsistencyOptions | null): Promise<StableDiffusionOutput>;
}

/**
 * Text to picture in few steps (Luo et al. 2023). diffusers: pipelines/latent_consistency_models/pipeline_latent_consistency_text2img.py
 * @example
 * const pipeline = await LatentConsistencyModelPipeline.fromPretrained("SimianLuo/LCM_Dreamshaper_v7", { dtype: "float16" });
 * const { images } = await pipeline("a red circle", { numInferenceSteps: 4, guidanceScale: 8 });
 */
// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- see above
export class LatentConsistencyModelPipeline extends LatentConsistencyBase {
  static override readonly className = "LatentConsistencyModelPipeline";

  /**
   * Draws pictures. It takes turns as a StableDiffusionPipeline does.
   * @param prompt one text or a list; null where promptEmbeds are given
   * @returns images: RawImage[] by default, a Tensor for the other output types (the caller disposes it)
   * @throws RangeError, TypeError for wrong arguments; the signal's reason when aborted
   */
  override async call(
    prompt: Prompt = null,
    given?: LatentConsistencyOptions | null,
  ): Promise<StableDiffusionOutput<RawImage[] | Tensor>> {
    const options = { ...LCM_DEFAULTS, ...takeOptions(this.className, given, LCM_OPTIONS, "warn") };
    const run = this.prepareRun(options);
    const { device, unet, vaeScaleFactor: scaleFactor } = this;
    const { height, width } = this.drawnSize(options);
    checkInputs(prompt, { height, width }, options, device, LCM_TENSORS);
    warnOfLegacyCallback(options);
    throwIfAborted(options.signal);
    const sides = [height, width].map((side) => Math.floor(side / scaleFactor));
    return this.runPrompts(
      prompt,
      run,
      {
        timesteps: () => this.timestepsOf(run, options),
        latents: (batch, dtype) => ({
          latents: prepareLatents(device, [batch, unet.config.in_channels, ...sides], run.scheduler.initNoiseSigma, {
            ...options,
            dtype,
          }),
        }),
      },
      options,
    );
  }
}
