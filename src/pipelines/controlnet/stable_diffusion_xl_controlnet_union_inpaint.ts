/** Parts of pictures drawn anew as guiding pictures have it, diffusers/pipelines/controlnet/pipeline_controlnet_union_inpaint_sd_xl.py. */
import type { Tensor } from "../../tensor/tensor.js";
import { takeOptions, type OptionTable } from "../call/call_options.js";
import { XL_UNION_INPAINT_TENSORS } from "../call/callback_tensors.js";
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
import { StableDiffusionXLControlNetUnionBase } from "./stable_diffusion_xl_controlnet_union_base.js";
import { UNION_OPTIONS, type UnionOptions } from "./steering_options.js";

/** What XL's other calls take besides. */
type Others = "timesteps" | "sigmas" | "negativeOriginalSize" | "negativeCropsCoordsTopLeft" | "negativeTargetSize";

/**
 * Arguments of a call; names and defaults as diffusers' StableDiffusionXLControlNetUnionInpaintPipeline.__call__: guidanceScale 5, strength
 * 0.9999. Without `height` and `width` what is drawn has the size of `image`.
 */
export interface XLControlNetUnionInpaintOptions
  extends
    Omit<XLOptions, Others | keyof ControlNetCallbackOptions>,
    XLPictureOptions,
    ControlNetCallbackOptions,
    Omit<InpaintSources, "maskedImageLatents">,
    UnionOptions {}

function optionTable(): OptionTable<Required<XLControlNetUnionInpaintOptions>> {
  const { timesteps: _timesteps, sigmas: _sigmas, negativeOriginalSize: _original, ...rest } = XL_OPTIONS;
  const { negativeCropsCoordsTopLeft: _crops, negativeTargetSize: _target, ...shared } = rest;
  const { maskedImageLatents: _masked, ...sources } = INPAINT_SOURCES;
  return { ...sources, ...PICTURE_OPTIONS, ...UNION_OPTIONS, ...shared };
}
const INPAINT_OPTIONS = optionTable();

// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- Callable gives the call
export interface StableDiffusionXLControlNetUnionInpaintPipeline {
  (
    prompt: Prompt,
    options: XLControlNetUnionInpaintOptions & { outputType: "np" | "pt" | "latent" },
  ): Promise<StableDiffusionXLOutput<Tensor>>;
  (prompt: Prompt, options: XLControlNetUnionInpaintOptions): Promise<StableDiffusionXLOutput>;
}

/** Steered by one or more pictures of the kinds that a ControlNetUnionModel knows, with any UNet of Stable Diffusion XL but those for masks. */
// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- see above
export class StableDiffusionXLControlNetUnionInpaintPipeline extends StableDiffusionXLControlNetUnionBase {
  static override readonly className = "StableDiffusionXLControlNetUnionInpaintPipeline";
  static override readonly callInputs: readonly CallInput[] = [
    "size",
    "image",
    "maskImage",
    "controlImage",
    "controlMode",
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
    given?: XLControlNetUnionInpaintOptions,
  ): Promise<StableDiffusionXLOutput<RawImage[] | Tensor>> {
    const taken = takeOptions(this.className, given, INPAINT_OPTIONS, "warn");
    const options = { guidanceScale: 5, strength: 0.9999, ...taken };
    this.expectLatentsAlone();
    return this.drawInto(prompt, options, XL_UNION_INPAINT_TENSORS);
  }

  /** This pipeline of diffusers knows nothing of the mean and deviation that some configs say. */
  override unscaled(latents: Tensor): Tensor {
    return LatentDiffusion.prototype.unscaled.call(this, latents);
  }
}
