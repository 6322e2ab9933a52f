import { throwIfAborted } from "../../arguments/signal.js";
import { checkGeneratorTypes } from "../../schedulers/noise.js";
import type { Tensor } from "../../tensor/tensor.js";
import { takeOptions, type OptionTable } from "../call/call_options.js";
import { CALL_OPTIONS, checkPrompts } from "../call/check_inputs.js";
import { checkStrength, imageLatents, imageTimesteps } from "../call/image_latents.js";
import { warnOfLegacyCallback } from "../call/legacy_callback.js";
import { checkImages, type ImageInput } from "../images/image_processor.js";
import type { RawImage } from "../images/raw_image.js";
import type { CallInput } from "./latent_diffusion.js";
import { StableDiffusionBase } from "./stable_diffusion_base.js";
import type { Prompt, StableDiffusionOptions, StableDiffusionOutput } from "./stable_diffusion_options.js";

/** Arguments of a call; names and defaults as diffusers' StableDiffusionImg2ImgPipeline.__call__. */
export interface Img2ImgOptions extends Omit<
  StableDiffusionOptions,
  "height" | "width" | "latents" | "guidanceRescale"
> {
  /**
   * What to begin with: one picture, or as many as prompts (or a divisor of that). Their size is that of the result, cut down to
   * multiples of vaeScaleFactor. Tensors are not disposed.
   */
  image: ImageInput | readonly ImageInput[];
  /** 0 to 1: how far to go back to noise, which is how much may change. So much of numInferenceSteps is done. Default 0.8. */
  strength?: number;
}

function optionTable(): OptionTable<Required<Img2ImgOptions>> {
  const { height: _height, width: _width, latents: _latents, guidanceRescale: _rescale, ...shared } = CALL_OPTIONS;
  return { image: false, strength: false, ...shared };
}
const IMG2IMG_OPTIONS = optionTable();

// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- Callable gives the call
export interface StableDiffusionImg2ImgPipeline {
  (
    prompt: Prompt,
    options: Img2ImgOptions & { outputType: "np" | "pt" | "latent" },
  ): Promise<StableDiffusionOutput<Tensor>>;
  (prompt: Prompt, options: Img2ImgOptions): Promise<StableDiffusionOutput>;
}

/** Picture to picture (Meng et al. 2021, SDEdit). diffusers: pipelines/stable_diffusion/pipeline_stable_diffusion_img2img.py */
// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- see above
export class StableDiffusionImg2ImgPipeline extends StableDiffusionBase {
  static override readonly className = "StableDiffusionImg2ImgPipeline";
  static override readonly callInputs: readonly CallInput[] = ["image", "strength"];
  protected static override readonly patchedKey = "clip_sample";

  /**
   * Draws pictures from pictures. It takes turns as a StableDiffusionPipeline does.
   * @param prompt one text or a list; null where promptEmbeds are given
   * @returns images: RawImage[] by default, a Tensor for the other output types (the caller disposes it)
   * @throws RangeError, TypeError for wrong arguments; the signal's reason when aborted
   * @example
   * const img2img = StableDiffusionImg2ImgPipeline.fromPipe(pipeline); // shares the models
   * const { images } = await img2img("a red star", { image, strength: 0.6 });
   */
  override async call(
    prompt: Prompt = null,
    given?: Img2ImgOptions,
  ): Promise<StableDiffusionOutput<RawImage[] | Tensor>> {
    const { className } = this;
    const { image, strength = 0.8, ...options } = takeOptions(className, given, IMG2IMG_OPTIONS, "warn");
    const run = this.prepareRun(options);
    this.expectLatentsAlone();
    const { device, vae, vaeScaleFactor, unet } = this;
    checkStrength(strength);
    checkPrompts(prompt, options, device);
    checkGeneratorTypes(options.generator);
    checkImages(image, device);
    warnOfLegacyCallback(options);
    throwIfAborted(options.signal);
    const encoder = { className, device, vae, vaeScaleFactor, latentChannels: unet.config.in_channels };
    const { scheduler } = run;
    const { generator } = options;
    return this.runPrompts(
      prompt,
      run,
      {
        timesteps: () => imageTimesteps(scheduler, options, strength),
        uses: ["vae"],
        latents: async (batch, dtype, [timestep]) => ({
          latents: await imageLatents(encoder, image, { batch, dtype, generator, scheduler, timestep }),
        }),
      },
      options,
    );
  }
}
