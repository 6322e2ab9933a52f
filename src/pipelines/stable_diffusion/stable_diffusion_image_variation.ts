import { shown } from "../../arguments/shown.js";
import { throwIfAborted } from "../../arguments/signal.js";
import { CLIPVisionModelWithProjection } from "../../nn/clip/clip_vision_model.js";
import type { CLIPTextModel } from "../../nn/clip/clip_text_model.js";
import type { StableDiffusionSafetyChecker } from "../../nn/clip/safety_checker.js";
import { notYet } from "../../nn/not_yet.js";
import { UNet2DConditionModel } from "../../nn/unet/unet_2d_condition.js";
import { AutoencoderKL } from "../../nn/vae/autoencoder_kl.js";
import type { CLIPTokenizer } from "../../loader/tokenizer/clip_tokenizer.js";
import type { Scheduler } from "../../schedulers/index.js";
import type { DType } from "../../tensor/dtype.js";
import { repeatRows } from "../../tensor/ops/copy.js";
import { linearCombination } from "../../tensor/ops/elementwise.js";
import type { Tensor } from "../../tensor/tensor.js";
import { takeOptions, type OptionTable } from "../call/call_options.js";
import { CALL_OPTIONS, checkNumbers, checkSize, checkStart, type CallOptions } from "../call/check_inputs.js";
import type { PromptEmbeds } from "../call/encode_prompt.js";
import { checkEncodedImage, encodeImageEmbeds, type EncodedImage } from "../call/image_embeds.js";
import { prepareLatents, prepareTimesteps } from "../call/prepare.js";
import { checkSafety } from "../call/safety.js";
import type { CLIPImageProcessor } from "../images/clip_image_processor.js";
import type { RawImage } from "../images/raw_image.js";
import { LatentDiffusion, type CallInput } from "./latent_diffusion.js";
import { patchSampleSize } from "./stable_diffusion_config.js";
import type {
  LegacyCallback,
  StableDiffusionComponents,
  StableDiffusionOptions,
  StableDiffusionOutput,
} from "./stable_diffusion_options.js";

/** Parts by their names in model_index.json, null for one that is left out, and settings that it has besides. */
// A type, not an interface: code for any class goes through components by name.
export type ImageVariationComponents = Pick<
  StableDiffusionComponents,
  "vae" | "unet" | "scheduler" | "safety_checker" | "requires_safety_checker"
> & {
  image_encoder: CLIPVisionModelWithProjection | null;
  /** For the picture, and for the safety checker. */
  feature_extractor: CLIPImageProcessor | null;
};

/** Arguments of a call; names and defaults as diffusers' StableDiffusionImageVariationPipeline.__call__. */
export interface ImageVariationOptions extends Pick<
  StableDiffusionOptions,
  | "height"
  | "width"
  | "numInferenceSteps"
  | "guidanceScale"
  | "numImagesPerPrompt"
  | "eta"
  | "generator"
  | "latents"
  | "outputType"
  | "signal"
> {
  /** Called after every `callbackSteps` model calls, of those that end a step. */
  callback?: LegacyCallback | null;
  /** Default 1. */
  callbackSteps?: number;
}

const { height, width, numInferenceSteps, guidanceScale, numImagesPerPrompt, eta } = CALL_OPTIONS;
const { generator, latents, outputType, signal, callback } = CALL_OPTIONS;
const OPTIONS: OptionTable<Required<ImageVariationOptions>> = {
  ...{ height, width, numInferenceSteps, guidanceScale, numImagesPerPrompt, eta },
  ...{ generator, latents, outputType, signal, callback, callbackSteps: false },
};

// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- Callable gives the call
export interface StableDiffusionImageVariationPipeline {
  (
    image: EncodedImage,
    options: ImageVariationOptions & { outputType: "np" | "pt" | "latent" },
  ): Promise<StableDiffusionOutput<Tensor>>;
  (image: EncodedImage, options?: ImageVariationOptions | null): Promise<StableDiffusionOutput>;
}

/**
 * Pictures like a picture (lambdalabs/sd-image-variations-diffusers): in the place of a prompt the UNet reads one token, what CLIP sees in
 * it. diffusers: pipelines/stable_diffusion/pipeline_stable_diffusion_image_variation.py
 */
// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- see above
export class StableDiffusionImageVariationPipeline extends LatentDiffusion {
  static override readonly className = "StableDiffusionImageVariationPipeline";
  static override readonly callInputs: readonly CallInput[] = ["size", "encodedImage"];
  static override readonly componentNames = [
    "vae",
    "image_encoder",
    "unet",
    "scheduler",
    "safety_checker",
    "feature_extractor",
  ];
  static override readonly optionalNames = ["safety_checker"];
  static override readonly componentClasses = {
    vae: AutoencoderKL,
    image_encoder: CLIPVisionModelWithProjection,
    unet: UNet2DConditionModel,
  };
  static override readonly initArguments = { requires_safety_checker: true };
  // There is no prompt to read, and nothing asks for what would.
  override text_encoder = null as unknown as CLIPTextModel;
  override tokenizer = null as unknown as CLIPTokenizer;
  override unet: UNet2DConditionModel;
  override scheduler: Scheduler;
  override image_encoder: CLIPVisionModelWithProjection | null;
  /** Makes pictures as the image encoder, and the safety checker, takes them. */
  override feature_extractor: CLIPImageProcessor | null;
  /** Looks at each picture that is drawn, and has some be black; null for none. */
  safety_checker: StableDiffusionSafetyChecker | null;

  constructor(components: ImageVariationComponents) {
    super();
    this.expectComponents(components);
    checkSafety(this.className, components);
    this.vae = components.vae as AutoencoderKL;
    this.image_encoder = components.image_encoder;
    this.unet = components.unet as UNet2DConditionModel;
    this.scheduler = components.scheduler as Scheduler;
    this.safety_checker = components.safety_checker ?? null;
    this.feature_extractor = components.feature_extractor;
    const { requires_safety_checker = true } = components;
    this.remember({ requires_safety_checker });
    if (components.unet) patchSampleSize(components.unet);
  }

  override get components(): ImageVariationComponents {
    return super.components as ImageVariationComponents;
  }

  /** Of the embeddings, as in diffusers. */
  protected override get noiseDType(): DType {
    return this.image_encoder!.dtype;
  }

  /**
   * Draws pictures like the given ones, `numImagesPerPrompt` of each. It takes turns as a StableDiffusionPipeline does.
   * @returns images: RawImage[] by default, a Tensor for the other output types (the caller disposes it)
   * @throws RangeError, TypeError for wrong arguments; the signal's reason when aborted
   * @example
   * const { images } = await pipeline(await RawImage.open("cat.png"), { guidanceScale: 3 });
   */
  override async call(
    image: EncodedImage,
    given?: ImageVariationOptions | null,
  ): Promise<StableDiffusionOutput<RawImage[] | Tensor>> {
    const options: CallOptions = takeOptions(this.className, given, OPTIONS, "warn");
    const run = this.prepareRun(options);
    this.expectLatentsAlone();
    const { device, unet, vaeScaleFactor: scaleFactor } = this;
    const size = this.drawnSize(options);
    checkSize(size);
    checkNumbers(options);
    checkStart(options, device);
    checkEncodedImage(this, image);
    this.#expectWidth();
    throwIfAborted(options.signal);
    const { scheduler } = run;
    const sides = [size.height, size.width].map((side) => Math.floor(side / scaleFactor));
    const start = {
      encoder: "image_encoder" as const,
      prompts: () => this.#embeds(image, options),
      timesteps: () => prepareTimesteps(scheduler, options),
      latents: (batch: number, dtype: DType) => ({
        latents: prepareLatents(device, [batch, unet.config.in_channels, ...sides], scheduler.initNoiseSigma, {
          ...options,
          dtype,
        }),
      }),
    };
    return this.run(run, start, options);
  }

  /** A token for each picture to draw, and zeros as what guidance leads away from. */
  #embeds(image: EncodedImage, { numImagesPerPrompt: count = 1 }: CallOptions): Promise<PromptEmbeds> {
    return this.withModels(["image_encoder"], async () =>
      this.device.scope(() => {
        const points = repeatRows(encodeImageEmbeds(this, image), count);
        const positive = points.reshape([points.shape[0], 1, points.shape[1]]);
        return { positive, negative: this.doClassifierFreeGuidance ? linearCombination([[0, positive]]) : null };
      }),
    );
  }

  /** @throws RangeError for an image encoder whose embeddings the UNet does not read */
  #expectWidth(): void {
    const { projection_dim: width } = this.image_encoder!.config;
    const { cross_attention_dim: wanted } = this.unet.config;
    if (width === wanted) return;
    throw new RangeError(
      `${this.className}: the UNet reads tokens of ${shown(wanted)} numbers (cross_attention_dim), and the image encoder gives ${width} ` +
        "(projection_dim)",
    );
  }

  /** Python's class has none of these. */
  override loadLoraWeights(): Promise<never> {
    return Promise.reject(notYet(this.className, "loadLoraWeights"));
  }

  override loadTextualInversion(): Promise<never> {
    return Promise.reject(notYet(this.className, "loadTextualInversion"));
  }

  override loadIpAdapter(): Promise<never> {
    return Promise.reject(notYet(this.className, "loadIpAdapter"));
  }

  override unloadIpAdapter(): Promise<never> {
    return this.loadIpAdapter();
  }
}
