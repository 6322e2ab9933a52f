/** Text and guiding pictures to picture with Stable Diffusion XL, diffusers/pipelines/controlnet/pipeline_controlnet_union_sd_xl.py. */
import type { Tensor } from "../../tensor/tensor.js";
import { takeOptions, type OptionTable } from "../call/call_options.js";
import { XL_TENSORS } from "../call/callback_tensors.js";
import type { RawImage } from "../images/raw_image.js";
import type { CallInput } from "../stable_diffusion/latent_diffusion.js";
import type { ControlNetCallbackOptions, Prompt } from "../stable_diffusion/stable_diffusion_options.js";
import { XL_OPTIONS } from "../stable_diffusion_xl/stable_diffusion_xl_base.js";
import type { StableDiffusionXLOutput, XLOptions } from "../stable_diffusion_xl/stable_diffusion_xl_options.js";
import type { ControlNetPipelineOptions } from "./stable_diffusion_controlnet.js";
import { StableDiffusionXLControlNetUnionBase } from "./stable_diffusion_xl_controlnet_union_base.js";
import { UNION_OPTIONS, type UnionOptions } from "./steering_options.js";

/** Arguments of a call; names and defaults as diffusers' StableDiffusionXLControlNetUnionPipeline.__call__, whose guidanceScale is 5. */
export interface XLControlNetUnionPipelineOptions
  extends
    Omit<XLOptions, "guidanceRescale" | "height" | "width" | keyof ControlNetCallbackOptions>,
    ControlNetCallbackOptions,
    UnionOptions,
    Pick<ControlNetPipelineOptions, "height" | "width"> {}

function optionTable(): OptionTable<Required<XLControlNetUnionPipelineOptions>> {
  const { guidanceRescale: _rescale, ...shared } = XL_OPTIONS;
  return { ...UNION_OPTIONS, ...shared };
}
const TEXT_OPTIONS = optionTable();

// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- Callable gives the call
export interface StableDiffusionXLControlNetUnionPipeline {
  (
    prompt: Prompt,
    options: XLControlNetUnionPipelineOptions & { outputType: "np" | "pt" | "latent" },
  ): Promise<StableDiffusionXLOutput<Tensor>>;
  (prompt: Prompt, options: XLControlNetUnionPipelineOptions): Promise<StableDiffusionXLOutput>;
}

/**
 * Text to picture with Stable Diffusion XL, steered by one or more pictures of the kinds that a ControlNetUnionModel knows.
 * @example
 * const controlnet = await ControlNetUnionModel.fromPretrained("xinsir/controlnet-union-sdxl-1.0", { dtype: "float16" });
 * const pipeline = await StableDiffusionXLControlNetUnionPipeline.fromPretrained(repo, { controlnet, dtype: "float16" });
 * const { images } = await pipeline("a bird", { controlImage: [edges, depth], controlMode: [3, 1] });
 */
// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- see above
export class StableDiffusionXLControlNetUnionPipeline extends StableDiffusionXLControlNetUnionBase {
  static override readonly className = "StableDiffusionXLControlNetUnionPipeline";
  static override readonly callInputs: readonly CallInput[] = ["size", "controlImage", "controlMode"];

  /**
   * Draws pictures as large as the first guiding one, or of the size given. It takes turns as a StableDiffusionPipeline does.
   * @param prompt one text or a list; null where promptEmbeds are given
   * @returns images: RawImage[] by default, a Tensor for the other output types (the caller disposes it)
   * @throws RangeError, TypeError for wrong arguments; the signal's reason when aborted
   */
  override async call(
    prompt: Prompt = null,
    given?: XLControlNetUnionPipelineOptions,
  ): Promise<StableDiffusionXLOutput<RawImage[] | Tensor>> {
    const options = { guidanceScale: 5, ...takeOptions(this.className, given, TEXT_OPTIONS, "warn") };
    return this.drawText(prompt, options, { argument: "controlImage", tensors: XL_TENSORS });
  }
}
