/** Parts of pictures drawn anew, diffusers/pipelines/stable_diffusion_xl/pipeline_stable_diffusion_xl_inpaint.py. */
import { throwIfAborted } from "../../arguments/signal.js";
import type { Tensor } from "../../tensor/tensor.js";
import { takeOptions, type OptionTable } from "../call/call_options.js";
import { XL_INPAINT_TENSORS } from "../call/callback_tensors.js";
import { INPAINT_SOURCES, inpaintCall } from "../call/inpaint_call.js";
import { warnOfLegacyCallback } from "../call/legacy_callback.js";
import type { RawImage } from "../images/raw_image.js";
import type { CallInput } from "../stable_diffusion/latent_diffusion.js";
import type { Prompt } from "../stable_diffusion/stable_diffusion_options.js";
import { checkPromptsXL, checkSizesXL } from "./check_inputs_xl.js";
import { PICTURE_OPTIONS, SCORED_ARGUMENTS, StableDiffusionXLBase, XL_OPTIONS } from "./stable_diffusion_xl_base.js";
import type { StableDiffusionXLOutput, XLInpaintOptions } from "./stable_diffusion_xl_options.js";
import { pictureTimeIds } from "./time_ids_xl.js";
import { pictureTimesteps } from "./timesteps_xl.js";

const INPAINT_OPTIONS: OptionTable<Required<XLInpaintOptions>> = {
  ...INPAINT_SOURCES,
  ...PICTURE_OPTIONS,
  ...XL_OPTIONS,
};

// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- Callable gives the call
export interface StableDiffusionXLInpaintPipeline {
  (
    prompt: Prompt,
    options: XLInpaintOptions & { outputType: "np" | "pt" | "latent" },
  ): Promise<StableDiffusionXLOutput<Tensor>>;
  (prompt: Prompt, options: XLInpaintOptions): Promise<StableDiffusionXLOutput>;
}

/** With a UNet that was trained for it (9 input channels), or any other one of Stable Diffusion XL. */
// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- see above
export class StableDiffusionXLInpaintPipeline extends StableDiffusionXLBase {
  static override readonly className = "StableDiffusionXLInpaintPipeline";
  static override readonly callInputs: readonly CallInput[] = ["size", "image", "maskImage", "strength"];
  static override readonly initArguments = SCORED_ARGUMENTS;
  override guidanceScale = 7.5;

  /**
   * Draws into pictures, where a mask is white. It takes turns as a StableDiffusionPipeline does.
   * @param prompt one text or a list; null where promptEmbeds are given
   * @returns images: RawImage[] by default, a Tensor for the other output types (the caller disposes it)
   * @throws RangeError, TypeError for wrong arguments; the signal's reason when aborted
   * @example
   * const { images } = await inpaint("a tiger on a bench", { image, maskImage, strength: 0.8 });
   */
  override async call(
    prompt: Prompt = null,
    given?: XLInpaintOptions,
  ): Promise<StableDiffusionXLOutput<RawImage[] | Tensor>> {
    const options = { strength: 0.9999, ...takeOptions(this.className, given, INPAINT_OPTIONS, "warn") };
    const run = this.prepareRun(options);
    const call = inpaintCall(this, prompt, options, { tensors: XL_INPAINT_TENSORS });
    checkPromptsXL(prompt, options, this.device);
    checkSizesXL(options);
    warnOfLegacyCallback(options);
    throwIfAborted(options.signal);
    const { scheduler } = run;
    const { height, width } = call;
    let timestep: number | null = null;
    const { images } = await this.run(
      run,
      {
        prompts: () => this.promptEmbeds(prompt, options, pictureTimeIds(options, [height, width], this.isScored)),
        timesteps: () => {
          const { noised, timesteps } = pictureTimesteps(scheduler, options, options.strength, 1);
          timestep = noised;
          return timesteps;
        },
        uses: ["vae"],
        latents: (batch, dtype) => call.begin(scheduler, batch, dtype, timestep),
      },
      options,
    );
    return { images: call.finish(images) };
  }
}
