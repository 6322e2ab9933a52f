/** Text to picture with Stable Diffusion XL, diffusers/pipelines/stable_diffusion_xl/pipeline_stable_diffusion_xl.py. */
import { shown } from "../arguments/shown.js";
import { throwIfAborted } from "../arguments/signal.js";
import { readJSON } from "../loader/config.js";
import type { CLIPTokenizer } from "../loader/clip_tokenizer.js";
import type { Repository } from "../loader/repository.js";
import { AutoencoderKL } from "../nn/autoencoder_kl.js";
import { CLIPTextModel, CLIPTextModelWithProjection } from "../nn/clip_text_model.js";
import { UNet2DConditionModel } from "../nn/unet_2d_condition.js";
import type { Scheduler } from "../schedulers/index.js";
import { roundHalfEven } from "../schedulers/spacing.js";
import type { DType } from "../tensor/dtype.js";
import { concat } from "../tensor/ops/shape.js";
import { mixSamples } from "../tensor/ops/per_sample.js";
import { Tensor } from "../tensor/tensor.js";
import { XL_TENSORS } from "./callback_tensors.js";
import { takeOptions, type OptionTable } from "./call_options.js";
import { CALL_OPTIONS, checkInputs, checkPrompts, ENCODE_PROMPT_OPTIONS } from "./check_inputs.js";
import { checkPromptsXL, checkSizesXL, type XLCallOptions } from "./check_inputs_xl.js";
import type { PromptEmbeds } from "./encode_prompt.js";
import { encodePromptXL } from "./encode_prompt_xl.js";
import { TIME_IDS } from "./first_pass.js";
import { LatentDiffusion } from "./latent_diffusion.js";
import { warnOfLegacyCallback } from "./legacy_callback.js";
import type { PipelineDType } from "./load_components.js";
import { beginAt, prepareLatents, prepareTimesteps } from "./prepare.js";
import type { RawImage } from "./raw_image.js";
import type { Prompt } from "./stable_diffusion_options.js";
import type {
  StableDiffusionXLComponents,
  StableDiffusionXLOutput,
  XLEncodePromptOptions,
  XLOptions,
} from "./stable_diffusion_xl_options.js";

const PROMPT_OPTIONS = {
  prompt2: true,
  negativePrompt2: true,
  pooledPromptEmbeds: true,
  negativePooledPromptEmbeds: true,
};
const XL_OPTIONS: OptionTable<Required<XLOptions>> = {
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

// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- Callable gives the call
export interface StableDiffusionXLPipeline {
  (
    prompt: Prompt,
    options: XLOptions & { outputType: "np" | "pt" | "latent" },
  ): Promise<StableDiffusionXLOutput<Tensor>>;
  (prompt: Prompt, options?: XLOptions | null): Promise<StableDiffusionXLOutput>;
}

/**
 * Text to picture with Stable Diffusion XL and its distilled models (Turbo, Lightning): two text encoders, and a UNet that is told sizes.
 * Source: Podell et al. 2023, diffusers' StableDiffusionXLPipeline.
 */
// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- see above
export class StableDiffusionXLPipeline extends LatentDiffusion {
  static override readonly className = "StableDiffusionXLPipeline";
  static override readonly optionalNames = [
    "text_encoder",
    "text_encoder_2",
    "tokenizer",
    "tokenizer_2",
    "feature_extractor",
    "image_encoder",
  ];
  static override readonly componentNames = ["vae", ...StableDiffusionXLPipeline.optionalNames, "unet", "scheduler"];
  static override readonly componentClasses = {
    vae: AutoencoderKL,
    text_encoder: CLIPTextModel,
    text_encoder_2: CLIPTextModelWithProjection,
    unet: UNet2DConditionModel,
  };
  static override readonly initArguments = { force_zeros_for_empty_prompt: true };
  text_encoder: CLIPTextModel;
  text_encoder_2: CLIPTextModelWithProjection;
  tokenizer: CLIPTokenizer;
  tokenizer_2: CLIPTokenizer;
  override unet: UNet2DConditionModel;
  scheduler: Scheduler;
  /** Kept as they were given; nothing here uses them. */
  feature_extractor: unknown;
  image_encoder: unknown;
  override guidanceScale = 5;
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
  }

  /** This VAE's activations are beyond float16 (force_upcast): diffusers makes it float32 for each decoding, this once. */
  static async modelDTypes(
    repository: Repository,
    dtype: PipelineDType | undefined,
    models: readonly string[],
  ): Promise<PipelineDType | undefined> {
    if (dtype !== "float16" || !models.includes("vae")) return dtype;
    const { force_upcast: upcast = true } = await readJSON(repository, "vae/config.json");
    return upcast === true ? { vae: "float32", default: dtype } : dtype;
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

  /**
   * Draws pictures; a pipeline is called like a function: `await pipeline("a red circle", { numInferenceSteps: 25 })`.
   * It takes turns as a StableDiffusionPipeline does.
   * @param prompt one text or a list; null where promptEmbeds are given
   * @returns images: RawImage[] by default, a Tensor for the other output types (the caller disposes it)
   * @throws RangeError, TypeError for wrong arguments; the signal's reason when aborted
   */
  override async call(
    prompt: Prompt = null,
    given?: XLOptions | null,
  ): Promise<StableDiffusionXLOutput<RawImage[] | Tensor>> {
    const options: XLCallOptions = { guidanceScale: 5, ...takeOptions(this.className, given, XL_OPTIONS, "warn") };
    const run = this.prepareRun(options);
    this.expectLatentsAlone();
    const { device, unet, vaeScaleFactor } = this;
    const size = this.drawnSize(options);
    checkInputs(prompt, size, options, device, XL_TENSORS);
    checkPromptsXL(prompt, options, device);
    checkSizesXL(options);
    warnOfLegacyCallback(options);
    throwIfAborted(options.signal);
    const { scheduler } = run;
    const sides = [size.height, size.width].map((side) => Math.floor(side / vaeScaleFactor));
    const start = {
      prompts: () => this.#embeds(prompt, options, size),
      timesteps: () => timestepsUntil(scheduler, options),
      latents: (batch: number, dtype: DType) => ({
        latents: prepareLatents(device, [batch, unet.config.in_channels, ...sides], scheduler.initNoiseSigma, {
          ...options,
          dtype,
        }),
      }),
    };
    const { images } = await this.run(prompt, run, start, options);
    return { images };
  }

  /** Both prompts, and what goes with them. */
  async #embeds(
    prompt: Prompt,
    options: XLCallOptions,
    size: { height: number; width: number },
  ): Promise<PromptEmbeds> {
    const { device, doClassifierFreeGuidance: guided } = this;
    const encoded = await this.#encode(prompt, { ...options, guided });
    const { positive, negative, pooled, negativePooled } = encoded;
    try {
      // diffusers repeats both rows for each picture, not each row for all pictures: rows that differ alternate.
      const ids = timeIds(options, [size.height, size.width], guided).flat();
      const rows = Array.from({ length: positive.shape[0] }, () => ids).flat();
      const added = device.scope(() => ({
        textEmbeds: negativePooled ? concat(negativePooled, pooled, 0) : pooled,
        timeIds: Tensor.from(Float32Array.from(rows), [rows.length / TIME_IDS, TIME_IDS], { device }),
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
    return encodePromptXL({ ...components, zerosForNone: this.#zerosForNone, dtype: noiseDType }, prompt, options);
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
    const { latents_mean: mean, latents_std: deviation, scaling_factor: factor } = this.vae.config;
    if (!mean || !deviation) return super.unscaled(latents);
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
        return [deviation[channel] / factor, mean[channel]] as const;
      });
      return mixSamples(latents.reshape(rows), ones, pairs).reshapeOwned(shape);
    });
  }
}

/** Of the negative prompt, with guidance, and of the prompt: original size, crop, target size. */
function timeIds(options: XLCallOptions, drawn: readonly [number, number], guided: boolean): number[][] {
  const { originalSize = drawn, cropsCoordsTopLeft = [0, 0], targetSize = drawn } = options;
  const { negativeOriginalSize, negativeCropsCoordsTopLeft = [0, 0], negativeTargetSize } = options;
  const positive = [...originalSize, ...cropsCoordsTopLeft, ...targetSize];
  if (!guided) return [positive];
  if (!negativeOriginalSize || !negativeTargetSize) return [positive, positive];
  return [[...negativeOriginalSize, ...negativeCropsCoordsTopLeft, ...negativeTargetSize], positive];
}

/** The schedule, up to denoisingEnd. */
function timestepsUntil(scheduler: Scheduler, options: XLCallOptions): readonly number[] {
  const timesteps = prepareTimesteps(scheduler, options);
  beginAt(scheduler, 0);
  const { denoisingEnd: end } = options;
  if (end === undefined || end <= 0 || end >= 1) return timesteps;
  const { num_train_timesteps: trained } = scheduler.config as { num_train_timesteps?: unknown };
  if (typeof trained !== "number")
    throw new TypeError(
      `\`denoisingEnd\`: a ${scheduler.className} has no num_train_timesteps to measure it by, got ${shown(trained)}`,
    );
  const cutoff = roundHalfEven(trained - end * trained);
  return timesteps.slice(0, timesteps.filter((t) => t >= cutoff).length);
}
