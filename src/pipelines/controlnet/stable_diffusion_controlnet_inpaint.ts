/** Parts of pictures drawn anew as a guiding picture has it, diffusers/pipelines/controlnet/pipeline_controlnet_inpaint.py. */
import { throwIfAborted } from "../../arguments/signal.js";
import type { Tensor } from "../../tensor/tensor.js";
import { takeOptions, type OptionTable } from "../call/call_options.js";
import { CONTROLNET_INPAINT_TENSORS } from "../call/callback_tensors.js";
import { CALL_OPTIONS } from "../call/check_inputs.js";
import { imageTimesteps } from "../call/image_latents.js";
import { INPAINT_SOURCES, inpaintCall, type InpaintSources } from "../call/inpaint_call.js";
import { warnOfLegacyCallback } from "../call/legacy_callback.js";
import type { RawImage } from "../images/raw_image.js";
import type { CallInput } from "../stable_diffusion/latent_diffusion.js";
import type {
  ControlNetCallbackOptions,
  Prompt,
  StableDiffusionOptions,
  StableDiffusionOutput,
} from "../stable_diffusion/stable_diffusion_options.js";
import { controlCall } from "./control_call.js";
import { StableDiffusionControlNetBase } from "./stable_diffusion_controlnet_base.js";
import { CONTROL_IMAGE_OPTIONS, type ControlImageOptions } from "./steering_options.js";

/**
 * Arguments of a call; names and defaults as diffusers' StableDiffusionControlNetInpaintPipeline.__call__. Without `height` and `width`
 * what is drawn has the size of `image`.
 */
export interface ControlNetInpaintOptions
  extends
    Omit<StableDiffusionOptions, "guidanceRescale" | "timesteps" | "sigmas" | keyof ControlNetCallbackOptions>,
    ControlNetCallbackOptions,
    InpaintSources,
    ControlImageOptions {}

function optionTable(): OptionTable<Required<ControlNetInpaintOptions>> {
  const { guidanceRescale: _rescale, timesteps: _timesteps, sigmas: _sigmas, ...shared } = CALL_OPTIONS;
  return { ...INPAINT_SOURCES, ...CONTROL_IMAGE_OPTIONS, ...shared };
}
const INPAINT_OPTIONS = optionTable();

// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- Callable gives the call
export interface StableDiffusionControlNetInpaintPipeline {
  (
    prompt: Prompt,
    options: ControlNetInpaintOptions & { outputType: "np" | "pt" | "latent" },
  ): Promise<StableDiffusionOutput<Tensor>>;
  (prompt: Prompt, options: ControlNetInpaintOptions): Promise<StableDiffusionOutput>;
}

/** Steered by another picture, with a UNet that was trained for masks (9 input channels), or any other one of Stable Diffusion. */
// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- see above
export class StableDiffusionControlNetInpaintPipeline extends StableDiffusionControlNetBase {
  static override readonly className = "StableDiffusionControlNetInpaintPipeline";
  static override readonly callInputs: readonly CallInput[] = [
    "size",
    "image",
    "maskImage",
    "controlImage",
    "strength",
  ];

  /**
   * Draws into pictures, where a mask is white. It takes turns as a StableDiffusionPipeline does.
   * @param prompt one text or a list; null where promptEmbeds are given
   * @returns images: RawImage[] by default, a Tensor for the other output types (the caller disposes it)
   * @throws RangeError, TypeError for wrong arguments; the signal's reason when aborted
   * @example
   * const { images } = await inpaint("a red star", { image, maskImage, controlImage: edges });
   */
  override async call(
    prompt: Prompt = null,
    given?: ControlNetInpaintOptions,
  ): Promise<StableDiffusionOutput<RawImage[] | Tensor>> {
    const taken = takeOptions(this.className, given, INPAINT_OPTIONS, "warn");
    const options = { strength: 1, controlnetConditioningScale: 0.5, ...taken };
    const run = this.prepareRun(options);
    const call = inpaintCall(this, prompt, options, { tensors: CONTROLNET_INPAINT_TENSORS, sizeFrom: "image" });
    const control = controlCall(this, prompt, { argument: "controlImage" }, options);
    warnOfLegacyCallback(options);
    throwIfAborted(options.signal);
    const { scheduler } = run;
    const { images, ...rest } = await this.runPrompts(
      prompt,
      run,
      {
        timesteps: () => imageTimesteps(scheduler, options, options.strength),
        uses: ["vae"],
        latents: async (batch, dtype, timesteps) => {
          const { height, width, fit } = call;
          const planes = await control.planes({ height, width, fit, scaleFactor: this.vaeScaleFactor });
          return control.begin(planes, { batch, steps: timesteps.length }, () =>
            call.begin(scheduler, batch, dtype, timesteps[0]),
          );
        },
      },
      options,
    );
    return { ...rest, images: call.finish(images) };
  }
}
