/** Parts of pictures drawn anew, diffusers/pipelines/stable_diffusion/pipeline_stable_diffusion_inpaint.py. */
import { throwIfAborted } from "../../arguments/signal.js";
import type { Tensor } from "../../tensor/tensor.js";
import { takeOptions, type OptionTable } from "../call/call_options.js";
import { INPAINT_TENSORS } from "../call/callback_tensors.js";
import { CALL_OPTIONS } from "../call/check_inputs.js";
import { imageTimesteps } from "../call/image_latents.js";
import { INPAINT_SOURCES, inpaintCall, type InpaintSources } from "../call/inpaint_call.js";
import { warnOfLegacyCallback } from "../call/legacy_callback.js";
import type { RawImage } from "../images/raw_image.js";
import type { CallInput } from "./latent_diffusion.js";
import { StableDiffusionBase } from "./stable_diffusion_base.js";
import type { Prompt, StableDiffusionOptions, StableDiffusionOutput } from "./stable_diffusion_options.js";

/** Arguments of a call; names and defaults as diffusers' StableDiffusionInpaintPipeline.__call__. */
export interface InpaintOptions extends Omit<StableDiffusionOptions, "guidanceRescale">, InpaintSources {}

function optionTable(): OptionTable<Required<InpaintOptions>> {
  const { guidanceRescale: _rescale, ...shared } = CALL_OPTIONS;
  return { ...INPAINT_SOURCES, ...shared };
}
const INPAINT_OPTIONS = optionTable();

// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- Callable gives the call
export interface StableDiffusionInpaintPipeline {
  (
    prompt: Prompt,
    options: InpaintOptions & { outputType: "np" | "pt" | "latent" },
  ): Promise<StableDiffusionOutput<Tensor>>;
  (prompt: Prompt, options: InpaintOptions): Promise<StableDiffusionOutput>;
}

/** With a UNet that was trained for it (9 input channels), or any other one of Stable Diffusion. */
// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- see above
export class StableDiffusionInpaintPipeline extends StableDiffusionBase {
  static override readonly className = "StableDiffusionInpaintPipeline";
  static override readonly callInputs: readonly CallInput[] = ["size", "image", "maskImage", "strength"];
  protected static override readonly patchedKey = "skip_prk_steps";

  /**
   * Draws into pictures, where a mask is white. It takes turns as a StableDiffusionPipeline does.
   * @param prompt one text or a list; null where promptEmbeds are given
   * @returns images: RawImage[] by default, a Tensor for the other output types (the caller disposes it)
   * @throws RangeError, TypeError for wrong arguments; the signal's reason when aborted
   * @example
   * const { images } = await inpaint("a red star", { image, maskImage, height: 512, width: 512 });
   */
  override async call(
    prompt: Prompt = null,
    given?: InpaintOptions,
  ): Promise<StableDiffusionOutput<RawImage[] | Tensor>> {
    const options = { strength: 1, ...takeOptions(this.className, given, INPAINT_OPTIONS, "warn") };
    const run = this.prepareRun(options);
    const call = inpaintCall(this, prompt, options, { tensors: INPAINT_TENSORS });
    warnOfLegacyCallback(options);
    throwIfAborted(options.signal);
    const { scheduler } = run;
    const { images, ...rest } = await this.runPrompts(
      prompt,
      run,
      {
        timesteps: () => imageTimesteps(scheduler, options, options.strength, 1),
        uses: ["vae"],
        latents: (batch, dtype, [timestep]) => call.begin(scheduler, batch, dtype, timestep),
      },
      options,
    );
    return { ...rest, images: call.finish(images) };
  }
}
