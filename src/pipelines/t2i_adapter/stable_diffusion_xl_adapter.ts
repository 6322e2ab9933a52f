/** Text and a guiding picture to picture with Stable Diffusion XL, diffusers/pipelines/t2i_adapter/pipeline_stable_diffusion_xl_adapter.py. */
import { throwIfAborted } from "../../arguments/signal.js";
import type { DType } from "../../tensor/dtype.js";
import type { Tensor } from "../../tensor/tensor.js";
import { takeOptions, type OptionTable } from "../call/call_options.js";
import { XL_TENSORS } from "../call/callback_tensors.js";
import { checkFinite, checkInputs } from "../call/check_inputs.js";
import { warnOfLegacyCallback } from "../call/legacy_callback.js";
import { prepareLatents, prepareTimesteps } from "../call/prepare.js";
import type { RawImage } from "../images/raw_image.js";
import { LatentDiffusion, type Beginning, type CallInput } from "../stable_diffusion/latent_diffusion.js";
import type { Prompt } from "../stable_diffusion/stable_diffusion_options.js";
import { checkPromptsXL, checkSizesXL } from "../stable_diffusion_xl/check_inputs_xl.js";
import { StableDiffusionXLBase, XL_OPTIONS } from "../stable_diffusion_xl/stable_diffusion_xl_base.js";
import type {
  StableDiffusionXLComponents,
  StableDiffusionXLOutput,
  XLOptions,
} from "../stable_diffusion_xl/stable_diffusion_xl_options.js";
import { textTimeIds } from "../stable_diffusion_xl/time_ids_xl.js";
import { isPart, untilDenoisingEnd } from "../stable_diffusion_xl/timesteps_xl.js";
import { ADAPTER_SOURCES, adapterCall, type AdapterSources } from "./adapter_call.js";
import { adaptersOf, ANY_ADAPTER, type AdapterComponent, type Adapters } from "./adapter_component.js";

/** Parts by their names in model_index.json; see StableDiffusionXLComponents. */
export type XLAdapterComponents = StableDiffusionXLComponents & AdapterComponent;

/** Arguments of a call; names and defaults as diffusers' StableDiffusionXLAdapterPipeline.__call__, whose guidanceScale is 5. */
export interface XLAdapterPipelineOptions extends Omit<XLOptions, "height" | "width">, AdapterSources {
  /** 0 to 1: in which part of numInferenceSteps the adapter steers, counted from the first model call. Default 1. */
  adapterConditioningFactor?: number;
}

const ADAPTER_OPTIONS: OptionTable<Required<XLAdapterPipelineOptions>> = {
  ...ADAPTER_SOURCES,
  adapterConditioningFactor: false,
  ...XL_OPTIONS,
};

// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- Callable gives the call
export interface StableDiffusionXLAdapterPipeline {
  (
    prompt: Prompt,
    options: XLAdapterPipelineOptions & { outputType: "np" | "pt" | "latent" },
  ): Promise<StableDiffusionXLOutput<Tensor>>;
  (prompt: Prompt, options: XLAdapterPipelineOptions): Promise<StableDiffusionXLOutput>;
}

/**
 * Text to picture with Stable Diffusion XL, steered by another picture through a T2I-Adapter (Mou et al. 2023).
 * @example
 * const adapter = await T2IAdapter.fromPretrained("TencentARC/t2i-adapter-sketch-sdxl-1.0", { dtype: "float16" });
 * const pipeline = await StableDiffusionXLAdapterPipeline.fromPretrained(repo, { adapter, dtype: "float16" });
 * const { images } = await pipeline("a robot", { image: await RawImage.open("sketch.png"), adapterConditioningScale: 0.9 });
 */
// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- see above
export class StableDiffusionXLAdapterPipeline extends StableDiffusionXLBase {
  static override readonly className = "StableDiffusionXLAdapterPipeline";
  static override readonly callInputs: readonly CallInput[] = ["size", "image"];
  static override readonly componentNames = [...StableDiffusionXLBase.componentNames, "adapter"];
  static override readonly componentClasses = { ...StableDiffusionXLBase.componentClasses, adapter: ANY_ADAPTER };
  protected override readonly classOfChannels = {
    4: "StableDiffusionXLAdapterPipeline",
    8: "StableDiffusionXLInstructPix2PixPipeline",
    9: "StableDiffusionXLInpaintPipeline",
  };
  /** Another one may be assigned; a list of them as `new MultiAdapter(list)`. */
  adapter: Adapters;

  constructor(components: XLAdapterComponents) {
    super(components);
    this.adapter = adaptersOf(components);
  }

  override get components(): XLAdapterComponents {
    return super.components as XLAdapterComponents;
  }

  /**
   * Draws pictures as large as the guiding one, or of the size given. It takes turns as a StableDiffusionPipeline does.
   * @param prompt one text or a list; null where promptEmbeds are given
   * @returns images: RawImage[] by default, a Tensor for the other output types (the caller disposes it)
   * @throws RangeError, TypeError for wrong arguments; the signal's reason when aborted
   */
  override async call(
    prompt: Prompt = null,
    given?: XLAdapterPipelineOptions,
  ): Promise<StableDiffusionXLOutput<RawImage[] | Tensor>> {
    const options = { guidanceScale: 5, ...takeOptions(this.className, given, ADAPTER_OPTIONS, "warn") };
    const run = this.prepareRun(options);
    this.expectLatentsAlone();
    const { device, unet, vaeScaleFactor } = this;
    const adapter = adapterCall(this, prompt, options);
    const { adapterConditioningFactor: factor = 1, denoisingEnd: end } = options;
    checkFinite("adapterConditioningFactor", factor);
    checkInputs(prompt, adapter, options, device, XL_TENSORS);
    checkPromptsXL(prompt, options, device);
    checkSizesXL(options);
    warnOfLegacyCallback(options);
    throwIfAborted(options.signal);
    const { scheduler } = run;
    const { height, width } = adapter;
    const sides = [height, width].map((side) => Math.floor(side / vaeScaleFactor));
    const start = {
      prompts: () => this.promptEmbeds(prompt, options, textTimeIds(options, [height, width])),
      timesteps: () => untilDenoisingEnd(scheduler, prepareTimesteps(scheduler, options), end),
      uses: ["adapter"],
      latents: (batch: number, dtype: DType, { length }: readonly number[]): Promise<Beginning> => {
        // As in diffusers a part of the steps that were asked for, though some schedulers call the model more often.
        const counted = isPart(end) || options.timesteps || options.sigmas ? length : (options.numInferenceSteps ?? 50);
        return adapter.begin(
          prepareLatents(device, [batch, unet.config.in_channels, ...sides], scheduler.initNoiseSigma, {
            ...options,
            dtype,
          }),
          { batch, steps: Math.trunc(counted * factor) },
        );
      },
    };
    const { images } = await this.run(run, start, options);
    return { images };
  }

  /** This pipeline of diffusers knows nothing of the mean and deviation that some configs say. */
  override unscaled(latents: Tensor): Tensor {
    return LatentDiffusion.prototype.unscaled.call(this, latents);
  }
}
