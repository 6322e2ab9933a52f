/** The components and prompts of Stable Diffusion XL, whatever a call begins with. */
import type { CLIPTokenizer } from "../../loader/tokenizer/clip_tokenizer.js";
import { CLIPTextModel, CLIPTextModelWithProjection } from "../../nn/clip/clip_text_model.js";
import type { CLIPVisionModelWithProjection } from "../../nn/clip/clip_vision_model.js";
import { UNet2DConditionModel } from "../../nn/unet/unet_2d_condition.js";
import { AutoencoderKL } from "../../nn/vae/autoencoder_kl.js";
import type { Scheduler } from "../../schedulers/index.js";
import type { DType } from "../../tensor/dtype.js";
import { linearCombination } from "../../tensor/ops/elementwise.js";
import { mixSamples } from "../../tensor/ops/per_sample.js";
import { Tensor } from "../../tensor/tensor.js";
import { takeOptions, type OptionTable } from "../call/call_options.js";
import { CALL_OPTIONS, checkPrompts, ENCODE_PROMPT_OPTIONS } from "../call/check_inputs.js";
import type { PromptEmbeds } from "../call/encode_prompt.js";
import { inBatch } from "../call/guidance.js";
import { wideVAE } from "../call/wide_vae.js";
import type { Components } from "../diffusion_pipeline.js";
import type { CLIPImageProcessor } from "../images/clip_image_processor.js";
import { LatentDiffusion } from "../stable_diffusion/latent_diffusion.js";
import type { Prompt } from "../stable_diffusion/stable_diffusion_options.js";
import { checkPromptsXL, type XLCallOptions } from "./check_inputs_xl.js";
import { encodePromptXL } from "./encode_prompt_xl.js";
import type {
  StableDiffusionXLComponents,
  XLEncodePromptOptions,
  XLOptions,
  XLPictureOptions,
} from "./stable_diffusion_xl_options.js";
import { checkScored, type TimeIds } from "./time_ids_xl.js";

const PROMPT_OPTIONS = {
  prompt2: true,
  negativePrompt2: true,
  pooledPromptEmbeds: true,
  negativePooledPromptEmbeds: true,
};
export const XL_OPTIONS: OptionTable<Required<XLOptions>> = {
  ...CALL_OPTIONS,
  ...PROMPT_OPTIONS,
  originalSize: true,
  cropsCoordsTopLeft: false,
  targetSize: true,
  negativeOriginalSize: true,
  negativeCropsCoordsTopLeft: false,
  negativeTargetSize: true,
  denoisingEnd: true,
};

export const PICTURE_OPTIONS: OptionTable<Required<XLPictureOptions>> = {
  strength: false,
  denoisingStart: true,
  aestheticScore: false,
  negativeAestheticScore: false,
};

/** Of the VAE's latents, by channel. */
interface Moments {
  mean: readonly number[];
  deviation: readonly number[];
  factor: number;
}

/** What the constructors for pictures take besides. */
export const SCORED_ARGUMENTS: Components = { force_zeros_for_empty_prompt: true, requires_aesthetics_score: false };

export abstract class StableDiffusionXLBase extends LatentDiffusion {
  static override readonly optionalNames = [
    "text_encoder",
    "text_encoder_2",
    "tokenizer",
    "tokenizer_2",
    "feature_extractor",
    "image_encoder",
  ];
  static override readonly componentNames = ["vae", ...StableDiffusionXLBase.optionalNames, "unet", "scheduler"];
  static override readonly componentClasses = {
    vae: AutoencoderKL,
    text_encoder: CLIPTextModel,
    text_encoder_2: CLIPTextModelWithProjection,
    unet: UNet2DConditionModel,
  };
  static override readonly initArguments: Components = { force_zeros_for_empty_prompt: true };
  static readonly modelDTypes = wideVAE;
  text_encoder: CLIPTextModel;
  text_encoder_2: CLIPTextModelWithProjection;
  tokenizer: CLIPTokenizer;
  tokenizer_2: CLIPTokenizer;
  override unet: UNet2DConditionModel;
  scheduler: Scheduler;
  /** For pictures as prompts, see loadIpAdapter(). */
  feature_extractor: CLIPImageProcessor | null;
  image_encoder: CLIPVisionModelWithProjection | null;
  override guidanceScale = 5;
  protected override readonly classOfChannels: Readonly<Record<number, string>> = {
    4: "StableDiffusionXLPipeline",
    8: "StableDiffusionXLInstructPix2PixPipeline",
    9: "StableDiffusionXLInpaintPipeline",
  };
  /** Of pictures: whether the UNet is told how good they look, and not how large they are to be. */
  protected readonly isScored: boolean;
  readonly #zerosForNone: boolean;

  constructor(components: StableDiffusionXLComponents) {
    super();
    this.expectComponents(components);
    const { add_watermarker: watermark, force_zeros_for_empty_prompt: zeros = true } = components;
    if (watermark === (true as never))
      throw new TypeError(`${this.className}: add_watermarker is true, but this version makes no watermarks`);
    this.vae = components.vae as AutoencoderKL;
    this.text_encoder = (components.text_encoder ?? null) as CLIPTextModel;
    this.text_encoder_2 = (components.text_encoder_2 ?? null) as CLIPTextModelWithProjection;
    this.tokenizer = (components.tokenizer ?? null) as CLIPTokenizer;
    this.tokenizer_2 = (components.tokenizer_2 ?? null) as CLIPTokenizer;
    this.unet = components.unet as UNet2DConditionModel;
    this.scheduler = components.scheduler as Scheduler;
    this.feature_extractor = components.feature_extractor ?? null;
    this.image_encoder = components.image_encoder ?? null;
    this.#zerosForNone = zeros;
    this.remember({ force_zeros_for_empty_prompt: zeros });
    const takesScores = "requires_aesthetics_score" in (this.constructor as typeof StableDiffusionXLBase).initArguments;
    this.isScored = takesScores && components.requires_aesthetics_score === true;
    if (takesScores) this.remember({ requires_aesthetics_score: this.isScored });
  }

  override get components(): StableDiffusionXLComponents {
    return super.components as StableDiffusionXLComponents;
  }

  /** Of the UNet: the VAE may be wider. */
  override get dtype(): DType {
    return (this.unet as UNet2DConditionModel | null)?.dtype ?? super.dtype;
  }

  protected override get noiseDType(): DType {
    return (this.text_encoder_2 as CLIPTextModelWithProjection | null)?.dtype ?? this.unet.dtype;
  }

  /** Both prompts, and what goes with them. */
  protected async promptEmbeds(prompt: Prompt, options: XLCallOptions, timeIds: TimeIds): Promise<PromptEmbeds> {
    const { device, doClassifierFreeGuidance: guided } = this;
    const encoded = await this.#encode(prompt, { ...options, guided });
    const { positive, negative, pooled, negativePooled } = encoded;
    try {
      const ids = timeIds(positive.shape[0], guided);
      checkScored(this, pooled.shape[1], ids[0].length);
      const added = device.scope(() => ({
        textEmbeds: negativePooled
          ? inBatch(this.guidance.branches, { positive: pooled, negative: negativePooled })
          : pooled,
        timeIds: Tensor.from(Float32Array.from(ids.flat()), [ids.length, ids[0].length], { device }),
      }));
      if (negativePooled) for (const tensor of [pooled, negativePooled]) tensor.dispose();
      return { positive, negative, added };
    } catch (error) {
      for (const tensor of Object.values(encoded) as (Tensor | null)[]) tensor?.dispose();
      throw error;
    }
  }

  #encode(prompt: Prompt, options: XLCallOptions & { guided: boolean }): ReturnType<typeof encodePromptXL> {
    const { className, tokenizer, tokenizer_2, text_encoder, text_encoder_2, noiseDType } = this;
    const components = { className, tokenizer, tokenizer_2, text_encoder, text_encoder_2 };
    const how = { ...components, zerosForNone: this.#zerosForNone, dtype: noiseDType };
    return this.withModels(["text_encoder", "text_encoder_2"], () => encodePromptXL(how, prompt, options));
  }

  /**
   * What texts are for the UNet: promptEmbeds, negativePromptEmbeds, pooledPromptEmbeds and negativePooledPromptEmbeds of a call.
   * @returns [batch * numImagesPerPrompt, tokens, width] twice and [batch * numImagesPerPrompt, width] twice; the negative ones are null
   *   without guidance. The caller disposes them.
   * @throws RangeError, TypeError for wrong arguments
   */
  async encodePrompt(
    prompt: Prompt,
    given?: XLEncodePromptOptions | null,
  ): Promise<
    [promptEmbeds: Tensor, negativePromptEmbeds: Tensor | null, pooled: Tensor, negativePooled: Tensor | null]
  > {
    const table: OptionTable<Required<XLEncodePromptOptions>> = { ...ENCODE_PROMPT_OPTIONS, ...PROMPT_OPTIONS };
    const { doClassifierFreeGuidance: guided = true, ...options } = takeOptions(
      `${this.className}.encodePrompt`,
      given,
      table,
      "refuse",
    );
    this.expectModels();
    checkPrompts(prompt, options, this.device);
    checkPromptsXL(prompt, options, this.device);
    const { positive, negative, pooled, negativePooled } = await this.#encode(prompt, { ...options, guided });
    await this.device.flush();
    return [positive, negative, pooled, negativePooled];
  }

  /** Latents as the VAE takes them: some configs say their mean and standard deviation by channel. */
  override unscaled(latents: Tensor): Tensor {
    const moments = this.#moments;
    if (!moments) return super.unscaled(latents);
    const { factor } = moments;
    return this.#byChannel(latents, moments, (mean, deviation) => [deviation / factor, mean]);
  }

  /** The other way round. */
  protected scaled(latents: Tensor): Tensor {
    const { scaling_factor: factor } = this.vae.config;
    const moments = this.#moments;
    if (!moments) return linearCombination([[factor, latents]]);
    return this.#byChannel(latents, moments, (mean, deviation) => [factor / deviation, (-mean * factor) / deviation]);
  }

  get #moments(): Moments | null {
    const { latents_mean: mean, latents_std: deviation, scaling_factor: factor } = this.vae.config;
    return mean && deviation ? { mean, deviation, factor } : null;
  }

  /** Each channel times a number, plus another one. */
  #byChannel(
    latents: Tensor,
    { mean, deviation }: Moments,
    line: (mean: number, deviation: number) => readonly [number, number],
  ): Tensor {
    const { shape, size, dtype, device } = latents;
    if (mean.length !== shape[1] || deviation.length !== shape[1])
      throw new RangeError(
        `${this.className}: the VAE's latents_mean and latents_std must have a number for each of ${shape[1]} channels, got ` +
          `${mean.length} and ${deviation.length}`,
      );
    const rows = [shape[0] * shape[1], shape[2], shape[3]];
    return device.scope(() => {
      const ones = Tensor.from(new Float32Array(size).fill(1), rows, { device, dtype });
      const pairs = Array.from({ length: rows[0] }, (_, row) => {
        const channel = row % shape[1];
        return line(mean[channel], deviation[channel]);
      });
      return mixSamples(latents.reshape(rows), ones, pairs).reshapeOwned(shape);
    });
  }
}
