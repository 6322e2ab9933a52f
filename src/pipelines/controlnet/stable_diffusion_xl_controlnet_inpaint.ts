/** Parts of pictures drawn anew as a guiding picture has it, diffusers/pipelines/controlnet/pipeline_controlnet_inpaint_sd_xl.py. */
import type { Tensor } from "../../tensor/tensor.js";
import { takeOptions, type OptionTable } from "../call/call_options.js";
import { XL_CONTROLNET_INPAINT_TENSORS } from "../call/callback_tensors.js";
import { INPAINT_SOURCES, type InpaintSources } from "../call/inpaint_call.js";
import type { RawImage } from "../images/raw_image.js";
import { type CallInput, LatentDiffusion } from "../stable_diffusion/latent_diffusion.js";
import type { ControlNetCallbackOptions, Prompt } from "../stable_diffusion/stable_diffusion_options.js";
import { PICTURE_OPTIONS, SCORED_ARGUMENTS, XL_OPTIONS } from "../stable_diffusion_xl/stable_diffusion_xl_base.js";
import type {
  StableDiffusionXLOutput,
  XLOptions,
  XLPictureOptions,
} from "../stable_diffusion_xl/stable_diffusion_xl_options.js";
import { StableDiffusionXLControlNetBase } from "./stable_diffusion_xl_controlnet_base.js";
import { CONTROL_IMAGE_OPTIONS, type ControlImageOptions } from "./steering_options.js";

/** What XL's other calls take besides. */
type Others = "timesteps" | "sigmas" | "negativeOriginalSize" | "negativeCropsCoordsTopLeft" | "negativeTargetSize";

/**
 * Arguments of a call; names and defaults as diffusers' StableDiffusionXLControlNetInpaintPipeline.__call__: guidanceScale 5, strength
 * 0.9999. Without `height` and `width` what is drawn has the size of `image`.
 */
export interface XLControlNetInpaintOptions
  extends
    Omit<XLOptions, Others | keyof ControlNetCallbackOptions>,
    XLPictureOptions,
    ControlNetCallbackOptions,
    InpaintSources,
    ControlImageOptions {}

function optionTable(): OptionTable<Required<XLControlNetInpaintOptions>> {
  const { timesteps: _timesteps, sigmas: _sigmas, negativeOriginalSize: _original, ...rest } = XL_OPTIONS;
  const { negativeCropsCoordsTopLeft: _crops, negativeTargetSize: _target, ...shared } = rest;
  return { ...INPAINT_SOURCES, ...PICTURE_OPTIONS, ...CONTROL_IMAGE_OPTIONS, ...shared };
}
const INPAINT_OPTIONS = optionTable();

// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- Callable gives the call
export interface StableDiffusionXLControlNetInpaintPipeline {
  (
    prompt: Prompt,
    options: XLControlNetInpaintOptions & { outputType: "np" | "pt" | "latent" },
  ): Promise<StableDiffusionXLOutput<Tensor>>;
  (prompt: Prompt, options: XLControlNetInpaintOptions): Promise<StableDiffusionXLOutput>;
}

/** Steered by another picture, with a UNet that was trained for masks (9 input channels), or any other one of Stable Diffusion XL. */
// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- see above
export class StableDiffusionXLControlNetInpaintPipeline extends StableDiffusionXLControlNetBase {
  static override readonly className = "StableDiffusionXLControlNetInpaintPipeline";
  static override readonly callInputs: readonly CallInput[] = [
    "size",
    "image",
    "maskImage",
    "controlImage",
    "strength",
  ];
  static override readonly initArguments = SCORED_ARGUMENTS;

  /**
   * Draws into pictures, where a mask is white. It takes turns as a StableDiffusionPipeline does.
   * @param prompt one text or a list; null where promptEmbeds are given
   * @returns images: RawImage[] by default, a Tensor for the other output types (the caller disposes it)
   * @throws RangeError, TypeError for wrong arguments; the signal's reason when aborted
   */
  override async call(
    prompt: Prompt = null,
    given?: XLControlNetInpaintOptions,
  ): Promise<StableDiffusionXLOutput<RawImage[] | Tensor>> {
    const taken = takeOptions(this.className, given, INPAINT_OPTIONS, "warn");
    const options = { guidanceScale: 5, strength: 0.9999, ...taken };
    return this.drawInto(prompt, options, XL_CONTROLNET_INPAINT_TENSORS);
  }

  /** This pipeline of diffusers knows nothing of the mean and deviation that some configs say. */
  override unscaled(latents: Tensor): Tensor {
    return LatentDiffusion.prototype.unscaled.call(this, latents);
  }
}
