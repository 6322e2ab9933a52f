import { throwIfAborted } from "../../arguments/signal.js";
import type { Tensor } from "../../tensor/tensor.js";
import { takeOptions } from "../call/call_options.js";
import { CALL_OPTIONS, checkInputs, type CallOptions } from "../call/check_inputs.js";
import { warnOfLegacyCallback } from "../call/legacy_callback.js";
import { prepareLatents, prepareTimesteps } from "../call/prepare.js";
import type { RawImage } from "../images/raw_image.js";
import { StableDiffusionBase } from "./stable_diffusion_base.js";
import type { Prompt, StableDiffusionOptions, StableDiffusionOutput } from "./stable_diffusion_options.js";

// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- Callable gives the call
export interface StableDiffusionPipeline {
  (
    prompt: Prompt,
    options: StableDiffusionOptions & { outputType: "np" | "pt" | "latent" },
  ): Promise<StableDiffusionOutput<Tensor>>;
  (prompt: Prompt, options?: StableDiffusionOptions | null): Promise<StableDiffusionOutput>;
}

/**
 * Text to picture (Rombach et al. 2022). diffusers: pipelines/stable_diffusion/pipeline_stable_diffusion.py
 * @example
 * const pipeline = await StableDiffusionPipeline.fromPretrained(repo, { dtype: "float16" });
 * const { images } = await pipeline("a red circle on a white background", { numInferenceSteps: 25 });
 */
// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- see above
export class StableDiffusionPipeline extends StableDiffusionBase {
  static override readonly className = "StableDiffusionPipeline";
  protected static override readonly patchedKey = "clip_sample";

  /**
   * Draws pictures; a pipeline is called like a function: `await pipeline("a red circle", { numInferenceSteps: 25 })`.
   * A call waits for those before it on the same pipeline or the same scheduler; a callback cannot await one of its own.
   * @param prompt one text or a list; null where promptEmbeds are given
   * @returns images: RawImage[] by default, a Tensor for the other output types (the caller disposes it)
   * @throws RangeError, TypeError for wrong arguments; the signal's reason when aborted
   */
  override async call(
    prompt: Prompt = null,
    given?: StableDiffusionOptions | null,
  ): Promise<StableDiffusionOutput<RawImage[] | Tensor>> {
    const options: CallOptions = takeOptions(this.className, given, CALL_OPTIONS, "warn");
    const run = this.prepareRun(options);
    this.expectLatentsAlone();
    const { device, unet, vaeScaleFactor: scaleFactor } = this;
    const { height, width } = this.drawnSize(options);
    checkInputs(prompt, { height, width }, options, device);
    warnOfLegacyCallback(options);
    throwIfAborted(options.signal);
    const { scheduler } = run;
    const sides = [height, width].map((side) => Math.floor(side / scaleFactor));
    return this.runPrompts(
      prompt,
      run,
      {
        timesteps: () => prepareTimesteps(scheduler, options),
        latents: (batch, dtype) => ({
          latents: prepareLatents(device, [batch, unet.config.in_channels, ...sides], scheduler.initNoiseSigma, {
            ...options,
            dtype,
          }),
        }),
      },
      options,
    );
  }
}
