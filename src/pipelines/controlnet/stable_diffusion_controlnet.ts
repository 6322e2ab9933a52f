/** Text and a guiding picture to picture, diffusers/pipelines/controlnet/pipeline_controlnet.py. */
import { throwIfAborted } from "../../arguments/signal.js";
import { checkGeneratorTypes } from "../../schedulers/noise.js";
import type { Tensor } from "../../tensor/tensor.js";
import { takeOptions, type OptionTable } from "../call/call_options.js";
import { CONTROLNET_TENSORS } from "../call/callback_tensors.js";
import { CALL_OPTIONS, checkPrompts, checkTensor } from "../call/check_inputs.js";
import { warnOfLegacyCallback } from "../call/legacy_callback.js";
import { prepareLatents, prepareTimesteps } from "../call/prepare.js";
import type { RawImage } from "../images/raw_image.js";
import type { CallInput } from "../stable_diffusion/latent_diffusion.js";
import type {
  ControlNetCallbackOptions,
  Prompt,
  StableDiffusionOptions,
  StableDiffusionOutput,
} from "../stable_diffusion/stable_diffusion_options.js";
import { checkSides } from "./check_controlnet.js";
import { controlCall } from "./control_call.js";
import type { ControlImage } from "./control_images.js";
import { StableDiffusionControlNetBase } from "./stable_diffusion_controlnet_base.js";
import { STEERING_OPTIONS, type SteeringOptions } from "./steering_options.js";

/** Arguments of a call; names and defaults as diffusers' StableDiffusionControlNetPipeline.__call__. */
export interface ControlNetPipelineOptions
  extends
    Omit<StableDiffusionOptions, "guidanceRescale" | keyof ControlNetCallbackOptions>,
    ControlNetCallbackOptions,
    SteeringOptions {
  /**
   * What the ControlNet reads (edges, depth, a pose): one picture, or one for each prompt. Of several ControlNets a list with an entry
   * for each of them, or a list for each prompt with a picture for each of them. Tensors, in [0, 1], are not disposed.
   */
  image: ControlImage | readonly ControlImage[];
  /** Pixels, cut down to multiples of vaeScaleFactor; by default those of the picture, which is made as large. */
  height?: number | null;
  width?: number | null;
}

function optionTable(): OptionTable<Required<ControlNetPipelineOptions>> {
  const { guidanceRescale: _rescale, ...shared } = CALL_OPTIONS;
  return { image: false, ...STEERING_OPTIONS, ...shared };
}
const CONTROLNET_OPTIONS = optionTable();

// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- Callable gives the call
export interface StableDiffusionControlNetPipeline {
  (
    prompt: Prompt,
    options: ControlNetPipelineOptions & { outputType: "np" | "pt" | "latent" },
  ): Promise<StableDiffusionOutput<Tensor>>;
  (prompt: Prompt, options: ControlNetPipelineOptions): Promise<StableDiffusionOutput>;
}

/**
 * Text to picture, steered by another picture (Zhang et al. 2023).
 * @example
 * const controlnet = await ControlNetModel.fromPretrained("lllyasviel/sd-controlnet-canny", { dtype: "float16" });
 * const pipeline = await StableDiffusionControlNetPipeline.fromPretrained(repo, { controlnet, dtype: "float16" });
 * const { images } = await pipeline("a bird", { image: await RawImage.open("edges.png") });
 */
// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- see above
export class StableDiffusionControlNetPipeline extends StableDiffusionControlNetBase {
  static override readonly className = "StableDiffusionControlNetPipeline";
  static override readonly callInputs: readonly CallInput[] = ["size", "image"];

  /**
   * Draws pictures as large as the guiding one, or of the size given. It takes turns as a StableDiffusionPipeline does.
   * @param prompt one text or a list; null where promptEmbeds are given
   * @returns images: RawImage[] by default, a Tensor for the other output types (the caller disposes it)
   * @throws RangeError, TypeError for wrong arguments; the signal's reason when aborted
   */
  override async call(
    prompt: Prompt = null,
    given?: ControlNetPipelineOptions,
  ): Promise<StableDiffusionOutput<RawImage[] | Tensor>> {
    const options = takeOptions(this.className, given, CONTROLNET_OPTIONS, "warn");
    const run = this.prepareRun(options);
    this.expectLatentsAlone();
    const { device, unet, vaeScaleFactor: scaleFactor } = this;
    checkPrompts(prompt, options, device, CONTROLNET_TENSORS);
    checkTensor("latents", options.latents, ["batch", "channels", "height", "width"], device);
    checkGeneratorTypes(options.generator);
    const control = controlCall(this, prompt, { argument: "image" }, options);
    const { height, width } = options;
    checkSides({ height, width }, scaleFactor);
    warnOfLegacyCallback(options);
    throwIfAborted(options.signal);
    const { scheduler } = run;
    return this.runPrompts(
      prompt,
      run,
      {
        timesteps: () => prepareTimesteps(scheduler, options),
        latents: async (batch, dtype, { length: steps }) => {
          const planes = await control.planes({ height, width, scaleFactor });
          const sides = planes[0].shape.slice(2).map((side) => Math.floor(side / scaleFactor));
          return control.begin(planes, { batch, steps }, () => ({
            latents: prepareLatents(device, [batch, unet.config.in_channels, ...sides], scheduler.initNoiseSigma, {
              ...options,
              dtype,
            }),
          }));
        },
      },
      options,
    );
  }
}
