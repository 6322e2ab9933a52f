/** Pictures from pictures, diffusers/pipelines/stable_diffusion_xl/pipeline_stable_diffusion_xl_img2img.py. */
import { throwIfAborted } from "../../arguments/signal.js";
import { checkGeneratorTypes } from "../../schedulers/noise.js";
import type { Tensor } from "../../tensor/tensor.js";
import { takeOptions, type OptionTable } from "../call/call_options.js";
import { XL_TENSORS } from "../call/callback_tensors.js";
import { checkPrompts, checkTensor } from "../call/check_inputs.js";
import { checkStrength, givenLatents, imageLatents } from "../call/image_latents.js";
import { warnOfLegacyCallback } from "../call/legacy_callback.js";
import { checkImages, processedSize } from "../images/image_processor.js";
import type { RawImage } from "../images/raw_image.js";
import type { CallInput } from "../stable_diffusion/latent_diffusion.js";
import type { Prompt } from "../stable_diffusion/stable_diffusion_options.js";
import { checkPromptsXL, checkSizesXL, type XLPictureCallOptions } from "./check_inputs_xl.js";
import { PICTURE_OPTIONS, SCORED_ARGUMENTS, StableDiffusionXLBase, XL_OPTIONS } from "./stable_diffusion_xl_base.js";
import type { StableDiffusionXLOutput, XLImg2ImgOptions } from "./stable_diffusion_xl_options.js";
import { pictureTimeIds } from "./time_ids_xl.js";
import { pictureTimesteps } from "./timesteps_xl.js";

function optionTable(): OptionTable<Required<XLImg2ImgOptions>> {
  const { height: _height, width: _width, ...shared } = XL_OPTIONS;
  return { image: false, ...PICTURE_OPTIONS, ...shared };
}
const IMG2IMG_OPTIONS = optionTable();

// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- Callable gives the call
export interface StableDiffusionXLImg2ImgPipeline {
  (
    prompt: Prompt,
    options: XLImg2ImgOptions & { outputType: "np" | "pt" | "latent" },
  ): Promise<StableDiffusionXLOutput<Tensor>>;
  (prompt: Prompt, options: XLImg2ImgOptions): Promise<StableDiffusionXLOutput>;
}

/** Picture to picture with Stable Diffusion XL, and its refiner, which goes on with latents of the base model. */
// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- see above
export class StableDiffusionXLImg2ImgPipeline extends StableDiffusionXLBase {
  static override readonly className = "StableDiffusionXLImg2ImgPipeline";
  static override readonly callInputs: readonly CallInput[] = ["image", "strength"];
  static override readonly initArguments = SCORED_ARGUMENTS;

  /**
   * Draws pictures from pictures. It takes turns as a StableDiffusionPipeline does.
   * @param prompt one text or a list; null where promptEmbeds are given
   * @returns images: RawImage[] by default, a Tensor for the other output types (the caller disposes it)
   * @throws RangeError, TypeError for wrong arguments; the signal's reason when aborted
   * @example
   * const { images: image } = await base(prompt, { denoisingEnd: 0.8, outputType: "latent" });
   * const { images } = await refiner(prompt, { image, denoisingStart: 0.8 });
   */
  override async call(
    prompt: Prompt = null,
    given?: XLImg2ImgOptions,
  ): Promise<StableDiffusionXLOutput<RawImage[] | Tensor>> {
    const { className } = this;
    const { image, strength = 0.3, ...taken } = takeOptions(className, given, IMG2IMG_OPTIONS, "warn");
    const options: XLPictureCallOptions = { guidanceScale: 5, ...taken };
    const run = this.prepareRun(options);
    this.expectLatentsAlone();
    const { device, vae, vaeScaleFactor, unet } = this;
    const { generator, latents } = options;
    const latentChannels = unet.config.in_channels;
    checkStrength(strength);
    checkPrompts(prompt, options, device, XL_TENSORS);
    checkPromptsXL(prompt, options, device);
    checkSizesXL(options);
    checkTensor("latents", latents, ["batch", "channels", "height", "width"], device);
    checkGeneratorTypes(generator);
    checkImages(image, device);
    warnOfLegacyCallback(options);
    throwIfAborted(options.signal);
    const scaled = this.scaled.bind(this);
    const encoder = { className, device, vae, vaeScaleFactor, latentChannels, scaled };
    const { height, width } = processedSize(latents ?? image, { latentChannels, scaleFactor: vaeScaleFactor });
    const { scheduler } = run;
    let timestep: number | null = null;
    const { images } = await this.run(
      run,
      {
        prompts: () => this.promptEmbeds(prompt, options, pictureTimeIds(options, [height, width], this.isScored)),
        timesteps: () => {
          const { noised, timesteps } = pictureTimesteps(scheduler, options, strength);
          timestep = noised;
          return timesteps;
        },
        uses: ["vae"],
        latents: async (batch, dtype) => ({
          latents: latents
            ? givenLatents(latents, batch, latentChannels)
            : await imageLatents(encoder, image, { batch, dtype, generator, scheduler, timestep }),
        }),
      },
      options,
    );
    return { images };
  }
}
