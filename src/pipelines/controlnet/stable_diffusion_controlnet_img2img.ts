/** Picture and a guiding picture to picture, diffusers/pipelines/controlnet/pipeline_controlnet_img2img.py. */
import { throwIfAborted } from "../../arguments/signal.js";
import type { Tensor } from "../../tensor/tensor.js";
import { takeOptions, type OptionTable } from "../call/call_options.js";
import { CONTROLNET_IMG2IMG_TENSORS } from "../call/callback_tensors.js";
import { CALL_OPTIONS } from "../call/check_inputs.js";
import { warnOfLegacyCallback } from "../call/legacy_callback.js";
import type { ImageInput } from "../images/image_processor.js";
import type { RawImage } from "../images/raw_image.js";
import type { CallInput } from "../stable_diffusion/latent_diffusion.js";
import type {
  ControlNetCallbackOptions,
  Prompt,
  StableDiffusionOptions,
  StableDiffusionOutput,
} from "../stable_diffusion/stable_diffusion_options.js";
import { controlImg2ImgCall } from "./control_img2img.js";
import { StableDiffusionControlNetBase } from "./stable_diffusion_controlnet_base.js";
import { CONTROL_IMAGE_OPTIONS, type ControlImageOptions } from "./steering_options.js";

/** Arguments of a call; names and defaults as diffusers' StableDiffusionControlNetImg2ImgPipeline.__call__. */
export interface ControlNetImg2ImgOptions
  extends
    Omit<StableDiffusionOptions, "guidanceRescale" | "timesteps" | "sigmas" | keyof ControlNetCallbackOptions>,
    ControlNetCallbackOptions,
    ControlImageOptions {
  /** What to begin with: one picture, or as many as prompts (or a divisor of that). Tensors are not disposed. */
  image: ImageInput | readonly ImageInput[];
  /** Pixels, cut down to multiples of vaeScaleFactor; by default those of `image`. */
  height?: number | null;
  width?: number | null;
  /** 0 to 1: how far to go back to noise, which is how much may change. So much of numInferenceSteps is done. Default 0.8. */
  strength?: number;
  /** Latents to begin with as they are, instead of those of the image with noise. Not disposed. */
  latents?: Tensor | null;
}

function optionTable(): OptionTable<Required<ControlNetImg2ImgOptions>> {
  const { guidanceRescale: _rescale, timesteps: _timesteps, sigmas: _sigmas, ...shared } = CALL_OPTIONS;
  return { image: false, strength: false, ...CONTROL_IMAGE_OPTIONS, ...shared };
}
const IMG2IMG_OPTIONS = optionTable();

// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- Callable gives the call
export interface StableDiffusionControlNetImg2ImgPipeline {
  (
    prompt: Prompt,
    options: ControlNetImg2ImgOptions & { outputType: "np" | "pt" | "latent" },
  ): Promise<StableDiffusionOutput<Tensor>>;
  (prompt: Prompt, options: ControlNetImg2ImgOptions): Promise<StableDiffusionOutput>;
}

/** Picture to picture, steered by another picture. */
// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- see above
export class StableDiffusionControlNetImg2ImgPipeline extends StableDiffusionControlNetBase {
  static override readonly className = "StableDiffusionControlNetImg2ImgPipeline";
  static override readonly callInputs: readonly CallInput[] = ["image", "controlImage", "strength"];

  /**
   * Draws pictures from pictures. It takes turns as a StableDiffusionPipeline does.
   * @param prompt one text or a list; null where promptEmbeds are given
   * @returns images: RawImage[] by default, a Tensor for the other output types (the caller disposes it)
   * @throws RangeError, TypeError for wrong arguments; the signal's reason when aborted
   * @example
   * const img2img = StableDiffusionControlNetImg2ImgPipeline.fromPipe(pipeline, { controlnet }); // shares the models
   * const { images } = await img2img("a red star", { image, controlImage: edges, strength: 0.6 });
   */
  override async call(
    prompt: Prompt = null,
    given?: ControlNetImg2ImgOptions,
  ): Promise<StableDiffusionOutput<RawImage[] | Tensor>> {
    const taken = takeOptions(this.className, given, IMG2IMG_OPTIONS, "warn");
    const options = { strength: 0.8, controlnetConditioningScale: 0.8, ...taken };
    const run = this.prepareRun(options);
    this.expectLatentsAlone();
    const call = controlImg2ImgCall(this, prompt, options, { tensors: CONTROLNET_IMG2IMG_TENSORS });
    warnOfLegacyCallback(options);
    throwIfAborted(options.signal);
    return this.runPrompts(prompt, run, call.start(run.scheduler), options);
  }
}
