/** Pictures edited by instructions, diffusers/pipelines/stable_diffusion/pipeline_stable_diffusion_instruct_pix2pix.py. */
import { throwIfAborted } from "../../arguments/signal.js";
import type { Tensor } from "../../tensor/tensor.js";
import { takeOptions, type OptionTable } from "../call/call_options.js";
import { EDIT_TENSORS } from "../call/callback_tensors.js";
import { CALL_OPTIONS, checkPrompts } from "../call/check_inputs.js";
import { EDIT_GUIDANCE } from "../call/guidance.js";
import { warnOfLegacyCallback } from "../call/legacy_callback.js";
import { prepareTimesteps } from "../call/prepare.js";
import type { RawImage } from "../images/raw_image.js";
import type { CallInput } from "../stable_diffusion/latent_diffusion.js";
import { StableDiffusionBase } from "../stable_diffusion/stable_diffusion_base.js";
import type {
  Prompt,
  StableDiffusionOptions,
  StableDiffusionOutput,
} from "../stable_diffusion/stable_diffusion_options.js";
import { beginEdit, checkEdit, EDIT_SOURCES, type EditCallOptions, type EditSources } from "./edit_call.js";

/** Arguments of a call; names and defaults as diffusers' StableDiffusionInstructPix2PixPipeline.__call__, whose numInferenceSteps is 100. */
export interface InstructPix2PixOptions
  extends
    Omit<StableDiffusionOptions, "height" | "width" | "guidanceRescale" | "clipSkip" | "timesteps" | "sigmas">,
    EditSources {
  /** Initial noise [batch, 4, height, width] of the picture's latents, instead of drawn noise. Not disposed. */
  latents?: Tensor | null;
}

function optionTable(): OptionTable<Required<InstructPix2PixOptions>> {
  const {
    height: _height,
    width: _width,
    guidanceRescale: _rescale,
    clipSkip: _skip,
    timesteps: _timesteps,
    sigmas: _sigmas,
    ...shared
  } = CALL_OPTIONS;
  return { ...EDIT_SOURCES, ...shared };
}
const EDIT_OPTIONS = optionTable();

// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- Callable gives the call
export interface StableDiffusionInstructPix2PixPipeline {
  (
    prompt: Prompt,
    options: InstructPix2PixOptions & { outputType: "np" | "pt" | "latent" },
  ): Promise<StableDiffusionOutput<Tensor>>;
  (prompt: Prompt, options: InstructPix2PixOptions): Promise<StableDiffusionOutput>;
}

/** Brooks et al. 2023, InstructPix2Pix; with a UNet that was trained for it (8 input channels). */
// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- see above
export class StableDiffusionInstructPix2PixPipeline extends StableDiffusionBase {
  static override readonly className = "StableDiffusionInstructPix2PixPipeline";
  static override readonly callInputs: readonly CallInput[] = ["image"];
  override readonly guidance = EDIT_GUIDANCE;
  /** Of the call that runs; a callback may change it, and below 1 it ends the guidance. */
  imageGuidanceScale = 1.5;

  /**
   * Edits pictures as the prompt says. It takes turns as a StableDiffusionPipeline does.
   * @param prompt one text or a list; null where promptEmbeds are given
   * @returns images: RawImage[] by default, a Tensor for the other output types (the caller disposes it)
   * @throws RangeError, TypeError for wrong arguments; the signal's reason when aborted
   * @example
   * const { images } = await pipeline("turn him into a cyborg", { image, numInferenceSteps: 20, imageGuidanceScale: 1 });
   */
  override async call(
    prompt: Prompt = null,
    given?: InstructPix2PixOptions,
  ): Promise<StableDiffusionOutput<RawImage[] | Tensor>> {
    const options: EditCallOptions = {
      numInferenceSteps: 100,
      ...takeOptions(this.className, given, EDIT_OPTIONS, "warn"),
    };
    const run = this.prepareRun(options);
    checkEdit(this, options);
    checkPrompts(prompt, options, this.device, EDIT_TENSORS);
    warnOfLegacyCallback(options);
    throwIfAborted(options.signal);
    const { scheduler } = run;
    return this.runPrompts(
      prompt,
      run,
      {
        timesteps: () => prepareTimesteps(scheduler, options),
        uses: ["vae"],
        latents: (batch, dtype) => beginEdit(this, options, { scheduler, batch, dtype }),
      },
      options,
    );
  }
}
