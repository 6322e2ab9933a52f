/** Picture and a guiding picture to picture with XL, diffusers/pipelines/controlnet/pipeline_controlnet_sd_xl_img2img.py. */
import { throwIfAborted } from "../arguments/signal.js";
import { checkGeneratorTypes } from "../schedulers/noise.js";
import type { Tensor } from "../tensor/tensor.js";
import { XL_CONTROLNET_IMG2IMG_TENSORS } from "./callback_tensors.js";
import { takeOptions, type OptionTable } from "./call_options.js";
import { checkSides } from "./check_controlnet.js";
import { checkPrompts, checkTensor } from "./check_inputs.js";
import { checkPromptsXL, checkSizesXL } from "./check_inputs_xl.js";
import { CONTROL_IMAGE_OPTIONS, controlCall, type ControlImageOptions } from "./control_call.js";
import { checkStrength, givenLatents, imageLatents, imageTimesteps } from "./image_latents.js";
import { checkImages, processedSize } from "./image_processor.js";
import { warnOfLegacyCallback } from "./legacy_callback.js";
import type { RawImage } from "./raw_image.js";
import type { ControlNetImg2ImgOptions } from "./stable_diffusion_controlnet_img2img.js";
import type { ControlNetCallbackOptions, Prompt } from "./stable_diffusion_options.js";
import { PICTURE_OPTIONS, SCORED_ARGUMENTS, XL_OPTIONS } from "./stable_diffusion_xl_base.js";
import { StableDiffusionXLControlNetBase } from "./stable_diffusion_xl_controlnet_base.js";
import type { StableDiffusionXLOutput, XLOptions, XLPictureOptions } from "./stable_diffusion_xl_options.js";
import { pictureTimeIds } from "./time_ids_xl.js";

/** What XL's other calls take besides. */
type Others = "guidanceRescale" | "denoisingEnd" | "timesteps" | "sigmas" | "height" | "width" | "latents";

/** Arguments of a call; names and defaults as diffusers' StableDiffusionXLControlNetImg2ImgPipeline.__call__: guidanceScale 5, strength 0.8. */
export interface XLControlNetImg2ImgOptions
  extends
    Omit<XLOptions, Others | keyof ControlNetCallbackOptions>,
    Omit<XLPictureOptions, "denoisingStart">,
    ControlNetCallbackOptions,
    ControlImageOptions,
    Pick<ControlNetImg2ImgOptions, "image" | "height" | "width" | "latents"> {}

function optionTable(): OptionTable<Required<XLControlNetImg2ImgOptions>> {
  const {
    guidanceRescale: _rescale,
    denoisingEnd: _end,
    timesteps: _timesteps,
    sigmas: _sigmas,
    ...shared
  } = XL_OPTIONS;
  const { denoisingStart: _start, ...picture } = PICTURE_OPTIONS;
  return { image: false, ...picture, ...CONTROL_IMAGE_OPTIONS, ...shared };
}
const IMG2IMG_OPTIONS = optionTable();

// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- Callable gives the call
export interface StableDiffusionXLControlNetImg2ImgPipeline {
  (
    prompt: Prompt,
    options: XLControlNetImg2ImgOptions & { outputType: "np" | "pt" | "latent" },
  ): Promise<StableDiffusionXLOutput<Tensor>>;
  (prompt: Prompt, options: XLControlNetImg2ImgOptions): Promise<StableDiffusionXLOutput>;
}

/** Picture to picture with Stable Diffusion XL, steered by another picture. */
// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- see above
export class StableDiffusionXLControlNetImg2ImgPipeline extends StableDiffusionXLControlNetBase {
  static override readonly className = "StableDiffusionXLControlNetImg2ImgPipeline";
  static override readonly initArguments = SCORED_ARGUMENTS;

  /**
   * Draws pictures from pictures. It takes turns as a StableDiffusionPipeline does.
   * @param prompt one text or a list; null where promptEmbeds are given
   * @returns images: RawImage[] by default, a Tensor for the other output types (the caller disposes it)
   * @throws RangeError, TypeError for wrong arguments; the signal's reason when aborted
   */
  override async call(
    prompt: Prompt = null,
    given?: XLControlNetImg2ImgOptions,
  ): Promise<StableDiffusionXLOutput<RawImage[] | Tensor>> {
    const { className } = this;
    const taken = takeOptions(className, given, IMG2IMG_OPTIONS, "warn");
    const defaults = { guidanceScale: 5, strength: 0.8, controlnetConditioningScale: 0.8 };
    const { image, strength, ...options } = { ...defaults, ...taken };
    const run = this.prepareRun(options);
    this.expectLatentsAlone();
    const { device, vae, vaeScaleFactor: scaleFactor, unet } = this;
    const { generator, latents } = options;
    const latentChannels = unet.config.in_channels;
    checkStrength(strength);
    checkPrompts(prompt, options, device, XL_CONTROLNET_IMG2IMG_TENSORS);
    checkPromptsXL(prompt, options, device);
    checkSizesXL(options);
    checkTensor("latents", latents, ["batch", "channels", "height", "width"], device);
    checkGeneratorTypes(generator);
    checkImages(image, device);
    const control = controlCall(this, prompt, { argument: "controlImage" }, options);
    checkSides({ height: options.height, width: options.width }, scaleFactor);
    warnOfLegacyCallback(options);
    throwIfAborted(options.signal);
    const scaled = this.scaled.bind(this);
    const encoder = { className, device, vae, vaeScaleFactor: scaleFactor, latentChannels, scaled };
    const { height, width } = processedSize(latents ?? image, { latentChannels, scaleFactor }, options);
    const { scheduler } = run;
    const { images } = await this.run(
      prompt,
      run,
      {
        prompts: () => this.promptEmbeds(prompt, options, pictureTimeIds(options, [height, width], this.isScored)),
        timesteps: () => imageTimesteps(scheduler, options, strength),
        uses: ["vae"],
        latents: async (batch, dtype, timesteps) => {
          const planes = await control.planes({ height, width, scaleFactor });
          const size = [width, height] as const;
          const [timestep] = timesteps;
          return control.begin(planes, { batch, steps: timesteps.length }, async () => ({
            latents: latents
              ? givenLatents(latents, batch, latentChannels)
              : await imageLatents(encoder, image, { batch, dtype, generator, scheduler, timestep, size }),
          }));
        },
      },
      options,
    );
    return { images };
  }
}
