/** Text to picture with Stable Diffusion XL, diffusers/pipelines/stable_diffusion_xl/pipeline_stable_diffusion_xl.py. */
import { throwIfAborted } from "../../arguments/signal.js";
import type { DType } from "../../tensor/dtype.js";
import type { Tensor } from "../../tensor/tensor.js";
import { takeOptions } from "../call/call_options.js";
import { XL_TENSORS } from "../call/callback_tensors.js";
import { checkInputs } from "../call/check_inputs.js";
import { warnOfLegacyCallback } from "../call/legacy_callback.js";
import { beginAt, prepareLatents, prepareTimesteps } from "../call/prepare.js";
import type { RawImage } from "../images/raw_image.js";
import type { Prompt } from "../stable_diffusion/stable_diffusion_options.js";
import { checkPromptsXL, checkSizesXL, type XLCallOptions } from "./check_inputs_xl.js";
import { StableDiffusionXLBase, XL_OPTIONS } from "./stable_diffusion_xl_base.js";
import type { StableDiffusionXLOutput, XLOptions } from "./stable_diffusion_xl_options.js";
import { textTimeIds } from "./time_ids_xl.js";
import { untilDenoisingEnd } from "./timesteps_xl.js";

// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- Callable gives the call
export interface StableDiffusionXLPipeline {
  (
    prompt: Prompt,
    options: XLOptions & { outputType: "np" | "pt" | "latent" },
  ): Promise<StableDiffusionXLOutput<Tensor>>;
  (prompt: Prompt, options?: XLOptions | null): Promise<StableDiffusionXLOutput>;
}

/**
 * Text to picture with Stable Diffusion XL and its distilled models (Turbo, Lightning): two text encoders, and a UNet that is told sizes.
 * Source: Podell et al. 2023, diffusers' StableDiffusionXLPipeline.
 */
// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- see above
export class StableDiffusionXLPipeline extends StableDiffusionXLBase {
  static override readonly className = "StableDiffusionXLPipeline";

  /**
   * Draws pictures; a pipeline is called like a function: `await pipeline("a red circle", { numInferenceSteps: 25 })`.
   * It takes turns as a StableDiffusionPipeline does.
   * @param prompt one text or a list; null where promptEmbeds are given
   * @returns images: RawImage[] by default, a Tensor for the other output types (the caller disposes it)
   * @throws RangeError, TypeError for wrong arguments; the signal's reason when aborted
   */
  override async call(
    prompt: Prompt = null,
    given?: XLOptions | null,
  ): Promise<StableDiffusionXLOutput<RawImage[] | Tensor>> {
    const options: XLCallOptions = { guidanceScale: 5, ...takeOptions(this.className, given, XL_OPTIONS, "warn") };
    const run = this.prepareRun(options);
    this.expectLatentsAlone();
    const { device, unet, vaeScaleFactor } = this;
    const size = this.drawnSize(options);
    checkInputs(prompt, size, options, device, XL_TENSORS);
    checkPromptsXL(prompt, options, device);
    checkSizesXL(options);
    warnOfLegacyCallback(options);
    throwIfAborted(options.signal);
    const { scheduler } = run;
    const sides = [size.height, size.width].map((side) => Math.floor(side / vaeScaleFactor));
    const start = {
      prompts: () => this.promptEmbeds(prompt, options, textTimeIds(options, [size.height, size.width])),
      timesteps: () => {
        const timesteps = prepareTimesteps(scheduler, options);
        beginAt(scheduler, 0);
        return untilDenoisingEnd(scheduler, timesteps, options.denoisingEnd);
      },
      latents: (batch: number, dtype: DType) => ({
        latents: prepareLatents(device, [batch, unet.config.in_channels, ...sides], scheduler.initNoiseSigma, {
          ...options,
          dtype,
        }),
      }),
    };
    const { images } = await this.run(run, start, options);
    return { images };
  }
}
