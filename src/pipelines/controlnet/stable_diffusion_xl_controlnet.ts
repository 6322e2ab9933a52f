/** Text and a guiding picture to picture with Stable Diffusion XL, diffusers/pipelines/controlnet/pipeline_controlnet_sd_xl.py. */
import type { Tensor } from "../../tensor/tensor.js";
import { takeOptions, type OptionTable } from "../call/call_options.js";
import { XL_CONTROLNET_TENSORS } from "../call/callback_tensors.js";
import type { RawImage } from "../images/raw_image.js";
import type { CallInput } from "../stable_diffusion/latent_diffusion.js";
import type { ControlNetCallbackOptions, Prompt } from "../stable_diffusion/stable_diffusion_options.js";
import { XL_OPTIONS } from "../stable_diffusion_xl/stable_diffusion_xl_base.js";
import type { StableDiffusionXLOutput, XLOptions } from "../stable_diffusion_xl/stable_diffusion_xl_options.js";
import type { ControlNetPipelineOptions } from "./stable_diffusion_controlnet.js";
import { StableDiffusionXLControlNetBase } from "./stable_diffusion_xl_controlnet_base.js";
import { STEERING_OPTIONS, type SteeringOptions } from "./steering_options.js";

/** Arguments of a call; names and defaults as diffusers' StableDiffusionXLControlNetPipeline.__call__, whose guidanceScale is 5. */
export interface XLControlNetPipelineOptions
  extends
    Omit<XLOptions, "guidanceRescale" | "height" | "width" | keyof ControlNetCallbackOptions>,
    ControlNetCallbackOptions,
    SteeringOptions,
    Pick<ControlNetPipelineOptions, "image" | "height" | "width"> {}

function optionTable(): OptionTable<Required<XLControlNetPipelineOptions>> {
  const { guidanceRescale: _rescale, ...shared } = XL_OPTIONS;
  return { image: false, ...STEERING_OPTIONS, ...shared };
}
const CONTROLNET_OPTIONS = optionTable();

// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- Callable gives the call
export interface StableDiffusionXLControlNetPipeline {
  (
    prompt: Prompt,
    options: XLControlNetPipelineOptions & { outputType: "np" | "pt" | "latent" },
  ): Promise<StableDiffusionXLOutput<Tensor>>;
  (prompt: Prompt, options: XLControlNetPipelineOptions): Promise<StableDiffusionXLOutput>;
}

/**
 * Text to picture with Stable Diffusion XL, steered by another picture (Zhang et al. 2023).
 * @example
 * const controlnet = await ControlNetModel.fromPretrained("diffusers/controlnet-canny-sdxl-1.0", { dtype: "float16" });
 * const pipeline = await StableDiffusionXLControlNetPipeline.fromPretrained(repo, { controlnet, dtype: "float16" });
 * const { images } = await pipeline("a bird", { image: await RawImage.open("edges.png"), controlnetConditioningScale: 0.5 });
 */
// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- see above
export class StableDiffusionXLControlNetPipeline extends StableDiffusionXLControlNetBase {
  static override readonly className = "StableDiffusionXLControlNetPipeline";
  static override readonly callInputs: readonly CallInput[] = ["size", "image"];

  /**
   * Draws pictures as large as the guiding one, or of the size given. It takes turns as a StableDiffusionPipeline does.
   * @param prompt one text or a list; null where promptEmbeds are given
   * @returns images: RawImage[] by default, a Tensor for the other output types (the caller disposes it)
   * @throws RangeError, TypeError for wrong arguments; the signal's reason when aborted
   */
  override async call(
    prompt: Prompt = null,
    given?: XLControlNetPipelineOptions,
  ): Promise<StableDiffusionXLOutput<RawImage[] | Tensor>> {
    const options = { guidanceScale: 5, ...takeOptions(this.className, given, CONTROLNET_OPTIONS, "warn") };
    return this.drawText(prompt, options, { argument: "image", tensors: XL_CONTROLNET_TENSORS });
  }
}
