/** Picture and guiding pictures to picture with XL, diffusers/pipelines/controlnet/pipeline_controlnet_union_sd_xl_img2img.py. */
import type { Tensor } from "../../tensor/tensor.js";
import { takeOptions, type OptionTable } from "../call/call_options.js";
import { XL_UNION_IMG2IMG_TENSORS } from "../call/callback_tensors.js";
import type { RawImage } from "../images/raw_image.js";
import type { CallInput } from "../stable_diffusion/latent_diffusion.js";
import type { ControlNetCallbackOptions, Prompt } from "../stable_diffusion/stable_diffusion_options.js";
import { PICTURE_OPTIONS, SCORED_ARGUMENTS, XL_OPTIONS } from "../stable_diffusion_xl/stable_diffusion_xl_base.js";
import type {
  StableDiffusionXLOutput,
  XLOptions,
  XLPictureOptions,
} from "../stable_diffusion_xl/stable_diffusion_xl_options.js";
import type { ControlNetImg2ImgOptions } from "./stable_diffusion_controlnet_img2img.js";
import { StableDiffusionXLControlNetUnionBase } from "./stable_diffusion_xl_controlnet_union_base.js";
import { UNION_OPTIONS, type UnionOptions } from "./steering_options.js";

/** What XL's other calls take besides. */
type Others = "guidanceRescale" | "denoisingEnd" | "timesteps" | "sigmas" | "height" | "width" | "latents";

/** Arguments of a call; names and defaults as diffusers' StableDiffusionXLControlNetUnionImg2ImgPipeline.__call__: guidanceScale 5, strength 0.8. */
export interface XLControlNetUnionImg2ImgOptions
  extends
    Omit<XLOptions, Others | keyof ControlNetCallbackOptions>,
    Omit<XLPictureOptions, "denoisingStart">,
    ControlNetCallbackOptions,
    UnionOptions,
    Pick<ControlNetImg2ImgOptions, "image" | "height" | "width" | "latents"> {}

function optionTable(): OptionTable<Required<XLControlNetUnionImg2ImgOptions>> {
  const {
    guidanceRescale: _rescale,
    denoisingEnd: _end,
    timesteps: _timesteps,
    sigmas: _sigmas,
    ...shared
  } = XL_OPTIONS;
  const { denoisingStart: _start, ...picture } = PICTURE_OPTIONS;
  return { image: false, ...picture, ...UNION_OPTIONS, ...shared };
}
const IMG2IMG_OPTIONS = optionTable();

// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- Callable gives the call
export interface StableDiffusionXLControlNetUnionImg2ImgPipeline {
  (
    prompt: Prompt,
    options: XLControlNetUnionImg2ImgOptions & { outputType: "np" | "pt" | "latent" },
  ): Promise<StableDiffusionXLOutput<Tensor>>;
  (prompt: Prompt, options: XLControlNetUnionImg2ImgOptions): Promise<StableDiffusionXLOutput>;
}

/** Picture to picture with Stable Diffusion XL, steered by one or more pictures of the kinds that a ControlNetUnionModel knows. */
// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- see above
export class StableDiffusionXLControlNetUnionImg2ImgPipeline extends StableDiffusionXLControlNetUnionBase {
  static override readonly className = "StableDiffusionXLControlNetUnionImg2ImgPipeline";
  static override readonly callInputs: readonly CallInput[] = ["image", "controlImage", "controlMode", "strength"];
  static override readonly initArguments = SCORED_ARGUMENTS;

  /**
   * Draws pictures from pictures. It takes turns as a StableDiffusionPipeline does.
   * @param prompt one text or a list; null where promptEmbeds are given
   * @returns images: RawImage[] by default, a Tensor for the other output types (the caller disposes it)
   * @throws RangeError, TypeError for wrong arguments; the signal's reason when aborted
   */
  override async call(
    prompt: Prompt = null,
    given?: XLControlNetUnionImg2ImgOptions,
  ): Promise<StableDiffusionXLOutput<RawImage[] | Tensor>> {
    const taken = takeOptions(this.className, given, IMG2IMG_OPTIONS, "warn");
    const options = { guidanceScale: 5, strength: 0.8, controlnetConditioningScale: 0.8, ...taken };
    return this.drawFrom(prompt, options, XL_UNION_IMG2IMG_TENSORS);
  }
}
