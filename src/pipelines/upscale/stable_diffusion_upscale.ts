import { shown } from "../../arguments/shown.js";
import { throwIfAborted } from "../../arguments/signal.js";
import { notYet } from "../../nn/not_yet.js";
import type { UNet2DConditionModel } from "../../nn/unet/unet_2d_condition.js";
import type { AutoencoderKL } from "../../nn/vae/autoencoder_kl.js";
import { DDPMScheduler, Scheduler } from "../../schedulers/index.js";
import { checkGeneratorTypes } from "../../schedulers/noise.js";
import type { DType } from "../../tensor/dtype.js";
import type { Tensor } from "../../tensor/tensor.js";
import { takeOptions } from "../call/call_options.js";
import { checkPrompts, checkTensor } from "../call/check_inputs.js";
import { soleGenerator } from "../call/initial_noise.js";
import { prepareTimesteps } from "../call/prepare.js";
import { wideVAE } from "../call/wide_vae.js";
import type { CLIPImageProcessor } from "../images/clip_image_processor.js";
import { checkImages } from "../images/image_processor.js";
import type { RawImage } from "../images/raw_image.js";
import { needComponent } from "../loading/needed_components.js";
import type { CallInput } from "../stable_diffusion/latent_diffusion.js";
import { PromptedDiffusion } from "../stable_diffusion/prompted_diffusion.js";
import { patchScalingFactor, unetSampleSize } from "../stable_diffusion/stable_diffusion_config.js";
import type { Prompt, StableDiffusionOutput } from "../stable_diffusion/stable_diffusion_options.js";
import { expectPicturePerPrompt } from "./upscale_call.js";
import { upscaleLatents } from "./upscale_latents.js";
import { UPSCALE_DEFAULTS, UPSCALE_OPTIONS, type UpscaleComponents, type UpscaleOptions } from "./upscale_options.js";

/** Of a picture. */
const COLOURS = 3;
const LOW_RES = { classes: [Scheduler], purpose: "to add noise to the picture" };

// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- Callable gives the call
export interface StableDiffusionUpscalePipeline {
  (
    prompt: Prompt,
    options: UpscaleOptions & { outputType: "np" | "pt" | "latent" },
  ): Promise<StableDiffusionOutput<Tensor>>;
  (prompt: Prompt, options: UpscaleOptions): Promise<StableDiffusionOutput>;
}

/**
 * Pictures four times as large (stabilityai/stable-diffusion-x4-upscaler), by a UNet that sees them, with some noise, beside the latents.
 * diffusers: pipelines/stable_diffusion/pipeline_stable_diffusion_upscale.py
 */
// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- see above
export class StableDiffusionUpscalePipeline extends PromptedDiffusion {
  static override readonly className = "StableDiffusionUpscalePipeline";
  static override readonly callInputs: readonly CallInput[] = ["image"];
  static override readonly optionalNames = ["safety_checker", "feature_extractor", "watermarker"];
  static override readonly componentNames = [
    "vae",
    "text_encoder",
    "tokenizer",
    "unet",
    "low_res_scheduler",
    "scheduler",
    ...StableDiffusionUpscalePipeline.optionalNames,
  ];
  static override readonly componentClasses = {
    ...PromptedDiffusion.componentClasses,
    low_res_scheduler: DDPMScheduler,
  };
  static override readonly initArguments = { max_noise_level: 350 };
  static readonly modelDTypes = wideVAE;
  /** Adds noise to the picture; another one may be assigned. */
  low_res_scheduler: Scheduler;
  safety_checker: null = null;
  feature_extractor: CLIPImageProcessor | null;
  watermarker: null = null;
  image_encoder: null = null;
  override guidanceScale = UPSCALE_DEFAULTS.guidanceScale;

  constructor(components: UpscaleComponents) {
    super(components);
    this.#expectUnchecked(components);
    this.low_res_scheduler = components.low_res_scheduler as Scheduler;
    this.feature_extractor = components.feature_extractor ?? null;
    this.remember({ max_noise_level: components.max_noise_level ?? 350 });
    if (components.vae) patchScalingFactor(components.vae);
  }

  override get components(): UpscaleComponents {
    return super.components as UpscaleComponents;
  }

  /** Of the UNet: the VAE may be wider. */
  override get dtype(): DType {
    return (this.unet as UNet2DConditionModel | null)?.dtype ?? super.dtype;
  }

  override get readsGuidance(): boolean {
    return false;
  }

  /** A picture has as many pixels as its result has latents. */
  override imageSize(given: { height?: number; width?: number }): { height: number; width: number } {
    const [height, width] = unetSampleSize(this.unet);
    return { height: given.height ?? height, width: given.width ?? width };
  }

  /**
   * Draws pictures of pictures. It takes turns as a StableDiffusionPipeline does.
   * @param prompt one text or a list; null where promptEmbeds are given
   * @returns images: RawImage[] by default, a Tensor for the other output types (the caller disposes it)
   * @throws RangeError, TypeError for wrong arguments; the signal's reason when aborted
   * @example
   * const { images } = await upscaler("a white cat", { image: await RawImage.open("small_cat.png") });
   */
  override async call(
    prompt: Prompt = null,
    given?: UpscaleOptions,
  ): Promise<StableDiffusionOutput<RawImage[] | Tensor>> {
    const { className } = this;
    const { image, noiseLevel = 20, ...taken } = takeOptions(className, given, UPSCALE_OPTIONS, "warn");
    const options = { ...UPSCALE_DEFAULTS, ...taken, generator: soleGenerator(taken.generator) };
    this.#expectUnchecked(this);
    const run = this.prepareRun(options);
    const { device, unet, vaeScaleFactor: scaleFactor, low_res_scheduler: lowResScheduler } = this;
    needComponent(className, "low_res_scheduler", lowResScheduler, LOW_RES);
    const latentChannels = this.#latentChannels();
    checkPrompts(prompt, options, device);
    checkTensor("latents", options.latents, ["batch", "channels", "height", "width"], device);
    checkGeneratorTypes(options.generator);
    checkImages(image, device);
    expectPicturePerPrompt(image, prompt, options);
    this.#checkNoiseLevel(noiseLevel);
    throwIfAborted(options.signal);
    const { scheduler } = run;
    const picture = { className, device, image, scaleFactor, latentChannels, lowResScheduler, noiseLevel };
    // As in diffusers, a UNet that has no use for the level is not told.
    const classLabels = unet.class_embedding ? [noiseLevel] : undefined;
    return this.runPrompts(
      prompt,
      run,
      {
        timesteps: () => prepareTimesteps(scheduler, options),
        latents: async (batch, dtype) => {
          const wanted = { ...options, batch, dtype, scheduler, guided: this.doClassifierFreeGuidance };
          return { ...(await upscaleLatents(picture, wanted)), classLabels };
        },
      },
      options,
    );
  }

  /** @throws TypeError for what diffusers' class takes from DeepFloyd IF: pictures would go unchecked, or without a mark */
  #expectUnchecked(components: { safety_checker?: unknown; watermarker?: unknown }): void {
    for (const name of ["safety_checker", "watermarker"] as const)
      if (components[name] !== null && components[name] !== undefined)
        throw new TypeError(
          `${this.className}: ${name} must be null: this pipeline takes that of DeepFloyd IF, which this version does not have`,
        );
  }

  /** @throws RangeError for a UNet of other channels than the picture's and the VAE's */
  #latentChannels(): number {
    const channels = this.unet.config.in_channels;
    const latentChannels = (this.vae as AutoencoderKL | null)?.config.latent_channels ?? channels - COLOURS;
    if (latentChannels + COLOURS === channels) return latentChannels;
    throw new RangeError(
      `${this.className}: the UNet must have ${latentChannels + COLOURS} input channels, ${latentChannels} of latents and ${COLOURS} of ` +
        `the picture, got in_channels = ${channels}`,
    );
  }

  #checkNoiseLevel(level: unknown): void {
    const most = this.config.max_noise_level as number;
    if (typeof level === "number" && Number.isSafeInteger(level) && level >= 0 && level <= most) return;
    throw new RangeError(
      `\`noiseLevel\` must be a whole number from 0 to ${most} (max_noise_level), got ${shown(level)}`,
    );
  }

  /** Python's class has none either. */
  override loadIpAdapter(): Promise<never> {
    return Promise.reject(notYet(this.className, "loadIpAdapter"));
  }
}
