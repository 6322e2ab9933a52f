/** Text and a guiding picture to picture, diffusers/pipelines/t2i_adapter/pipeline_stable_diffusion_adapter.py. */
import { throwIfAborted } from "../../arguments/signal.js";
import { notYet } from "../../nn/not_yet.js";
import type { Tensor } from "../../tensor/tensor.js";
import { takeOptions, type OptionTable } from "../call/call_options.js";
import { CALL_OPTIONS, checkInputs } from "../call/check_inputs.js";
import { warnOfLegacyCallback } from "../call/legacy_callback.js";
import { prepareLatents, prepareTimesteps } from "../call/prepare.js";
import type { RawImage } from "../images/raw_image.js";
import type { CallInput } from "../stable_diffusion/latent_diffusion.js";
import { StableDiffusionBase } from "../stable_diffusion/stable_diffusion_base.js";
import type {
  Prompt,
  StableDiffusionComponents,
  StableDiffusionOptions,
  StableDiffusionOutput,
} from "../stable_diffusion/stable_diffusion_options.js";
import { ADAPTER_SOURCES, adapterCall, type AdapterSources } from "./adapter_call.js";
import { adaptersOf, ANY_ADAPTER, type AdapterComponent, type Adapters } from "./adapter_component.js";

/** Parts by their names in model_index.json; see StableDiffusionComponents. */
export type AdapterComponents = Omit<StableDiffusionComponents, "image_encoder"> & AdapterComponent;

/** Arguments of a call; names and defaults as diffusers' StableDiffusionAdapterPipeline.__call__. */
export interface AdapterPipelineOptions
  extends
    Omit<StableDiffusionOptions, "guidanceRescale" | "ipAdapterImage" | "ipAdapterImageEmbeds" | "height" | "width">,
    AdapterSources {}

function optionTable(): OptionTable<Required<AdapterPipelineOptions>> {
  const { guidanceRescale: _rescale, ipAdapterImage: _image, ipAdapterImageEmbeds: _embeds, ...shared } = CALL_OPTIONS;
  return { ...ADAPTER_SOURCES, ...shared };
}
const ADAPTER_OPTIONS = optionTable();

// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- Callable gives the call
export interface StableDiffusionAdapterPipeline {
  (
    prompt: Prompt,
    options: AdapterPipelineOptions & { outputType: "np" | "pt" | "latent" },
  ): Promise<StableDiffusionOutput<Tensor>>;
  (prompt: Prompt, options: AdapterPipelineOptions): Promise<StableDiffusionOutput>;
}

/**
 * Text to picture, steered by another picture through a T2I-Adapter (Mou et al. 2023): less to load and to compute than a ControlNet.
 * @example
 * const adapter = await T2IAdapter.fromPretrained("TencentARC/t2iadapter_color_sd14v1", { dtype: "float16" });
 * const pipeline = await StableDiffusionAdapterPipeline.fromPretrained(repo, { adapter, dtype: "float16" });
 * const { images } = await pipeline("glowing cubes at night", { image: await RawImage.open("colours.png") });
 */
// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- see above
export class StableDiffusionAdapterPipeline extends StableDiffusionBase {
  static override readonly className = "StableDiffusionAdapterPipeline";
  static override readonly callInputs: readonly CallInput[] = ["size", "image"];
  static override readonly optionalNames = ["safety_checker", "feature_extractor"];
  static override readonly componentNames = [
    ...["vae", "text_encoder", "tokenizer", "unet", "adapter", "scheduler"],
    ...StableDiffusionAdapterPipeline.optionalNames,
  ];
  static override readonly componentClasses = { ...StableDiffusionBase.componentClasses, adapter: ANY_ADAPTER };
  protected override readonly classOfChannels = {
    4: "StableDiffusionAdapterPipeline",
    8: "StableDiffusionInstructPix2PixPipeline",
    9: "StableDiffusionInpaintPipeline",
  };
  /** Another one may be assigned; a list of them as `new MultiAdapter(list)`. */
  adapter: Adapters;

  constructor(components: AdapterComponents) {
    super(components);
    this.adapter = adaptersOf(components);
  }

  override get components(): AdapterComponents {
    return super.components as AdapterComponents;
  }

  /**
   * Draws pictures as large as the guiding one, or of the size given. It takes turns as a StableDiffusionPipeline does.
   * @param prompt one text or a list; null where promptEmbeds are given
   * @returns images: RawImage[] by default, a Tensor for the other output types (the caller disposes it)
   * @throws RangeError, TypeError for wrong arguments; the signal's reason when aborted
   */
  override async call(
    prompt: Prompt = null,
    given?: AdapterPipelineOptions,
  ): Promise<StableDiffusionOutput<RawImage[] | Tensor>> {
    const options = takeOptions(this.className, given, ADAPTER_OPTIONS, "warn");
    const run = this.prepareRun(options);
    this.expectLatentsAlone();
    const { device, unet, vaeScaleFactor } = this;
    const adapter = adapterCall(this, prompt, options);
    checkInputs(prompt, adapter, options, device);
    warnOfLegacyCallback(options);
    throwIfAborted(options.signal);
    const { scheduler } = run;
    const sides = [adapter.height, adapter.width].map((side) => Math.floor(side / vaeScaleFactor));
    return this.runPrompts(
      prompt,
      run,
      {
        timesteps: () => prepareTimesteps(scheduler, options),
        uses: ["adapter"],
        latents: (batch, dtype) =>
          adapter.begin(
            prepareLatents(device, [batch, unet.config.in_channels, ...sides], scheduler.initNoiseSigma, {
              ...options,
              dtype,
            }),
            { batch },
          ),
      },
      options,
    );
  }

  /** Python's class has none either. */
  override loadIpAdapter(): Promise<never> {
    return Promise.reject(notYet(this.className, "loadIpAdapter"));
  }
}
