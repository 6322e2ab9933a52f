import { throwIfAborted } from "../../arguments/signal.js";
import { checkGeneratorTypes } from "../../schedulers/noise.js";
import type { Tensor } from "../../tensor/tensor.js";
import { takeOptions, type OptionTable } from "../call/call_options.js";
import { LCM_TENSORS } from "../call/callback_tensors.js";
import { checkPrompts, checkTensor } from "../call/check_inputs.js";
import { checkStrength, givenLatents, imageLatents } from "../call/image_latents.js";
import { warnOfLegacyCallback } from "../call/legacy_callback.js";
import { checkImages } from "../images/image_processor.js";
import type { RawImage } from "../images/raw_image.js";
import type { CallInput } from "../stable_diffusion/latent_diffusion.js";
import type { Img2ImgOptions } from "../stable_diffusion/stable_diffusion_img2img.js";
import type { Prompt, StableDiffusionOutput } from "../stable_diffusion/stable_diffusion_options.js";
import {
  LatentConsistencyBase,
  LCM_DEFAULTS,
  LCM_OPTIONS,
  type LatentConsistencyOptions,
} from "./latent_consistency_base.js";

/** Arguments of a call; names and defaults as diffusers' LatentConsistencyModelImg2ImgPipeline.__call__. */
export interface LatentConsistencyImg2ImgOptions
  extends Omit<LatentConsistencyOptions, "height" | "width" | "latents">, Pick<Img2ImgOptions, "image"> {
  /**
   * 0 to 1: how far to go back to noise, which is how much may change. All of numInferenceSteps are done, in this part of the schedule.
   * Default 0.8.
   */
  strength?: number;
  /** Latents to begin with as they are, instead of those of the image with noise. Not disposed. */
  latents?: Tensor | null;
}

function optionTable(): OptionTable<Required<LatentConsistencyImg2ImgOptions>> {
  const { height: _height, width: _width, ...shared } = LCM_OPTIONS;
  return { image: false, strength: false, ...shared };
}
const IMG2IMG_OPTIONS = optionTable();

// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- Callable gives the call
export interface LatentConsistencyModelImg2ImgPipeline {
  (
    prompt: Prompt,
    options: LatentConsistencyImg2ImgOptions & { outputType: "np" | "pt" | "latent" },
  ): Promise<StableDiffusionOutput<Tensor>>;
  (prompt: Prompt, options: LatentConsistencyImg2ImgOptions): Promise<StableDiffusionOutput>;
}

/** Picture to picture in few steps. diffusers: pipelines/latent_consistency_models/pipeline_latent_consistency_img2img.py */
// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- see above
export class LatentConsistencyModelImg2ImgPipeline extends LatentConsistencyBase {
  static override readonly className = "LatentConsistencyModelImg2ImgPipeline";
  static override readonly callInputs: readonly CallInput[] = ["image", "strength"];

  /**
   * Draws pictures from pictures. It takes turns as a StableDiffusionPipeline does.
   * @param prompt one text or a list; null where promptEmbeds are given
   * @returns images: RawImage[] by default, a Tensor for the other output types (the caller disposes it)
   * @throws RangeError, TypeError for wrong arguments; the signal's reason when aborted
   * @example
   * const img2img = LatentConsistencyModelImg2ImgPipeline.fromPipe(pipeline); // shares the models
   * const { images } = await img2img("a red star", { image, strength: 0.6 });
   */
  override async call(
    prompt: Prompt = null,
    given?: LatentConsistencyImg2ImgOptions,
  ): Promise<StableDiffusionOutput<RawImage[] | Tensor>> {
    const { className } = this;
    const taken = takeOptions(className, given, IMG2IMG_OPTIONS, "warn");
    const { image, strength = 0.8, ...options } = { ...LCM_DEFAULTS, ...taken };
    const run = this.prepareRun(options);
    const { device, vae, vaeScaleFactor, unet } = this;
    checkStrength(strength);
    checkPrompts(prompt, options, device, LCM_TENSORS);
    checkTensor("latents", options.latents, ["batch", "channels", "height", "width"], device);
    checkGeneratorTypes(options.generator);
    checkImages(image, device);
    warnOfLegacyCallback(options);
    throwIfAborted(options.signal);
    const encoder = { className, device, vae, vaeScaleFactor, latentChannels: unet.config.in_channels };
    const { scheduler } = run;
    const { generator, latents } = options;
    return this.runPrompts(
      prompt,
      run,
      {
        timesteps: () => this.timestepsOf(run, options, strength),
        uses: latents ? [] : ["vae"],
        latents: async (batch, dtype, [timestep]) => ({
          latents: latents
            ? givenLatents(latents, batch, unet.config.in_channels)
            : await imageLatents(encoder, image, { batch, dtype, generator, scheduler, timestep }),
        }),
      },
      options,
    );
  }
}
