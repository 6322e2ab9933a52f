/** Text to picture, diffusers/pipelines/stable_diffusion/pipeline_stable_diffusion.py. */
import { throwIfAborted } from "../arguments/signal.js";
import type { CLIPTokenizer } from "../loader/clip_tokenizer.js";
import { AutoencoderKL } from "../nn/autoencoder_kl.js";
import { AutoencoderTiny } from "../nn/autoencoder_tiny.js";
import { CLIPTextModel } from "../nn/clip_text_model.js";
import { UNet2DConditionModel } from "../nn/unet_2d_condition.js";
import { UNetSteps } from "../nn/unet_steps.js";
import { Scheduler } from "../schedulers/index.js";
import { guide } from "../tensor/ops/guidance.js";
import { concat } from "../tensor/ops/shape.js";
import type { Tensor } from "../tensor/tensor.js";
import { pick, replace, takeReturned } from "./callback_tensors.js";
import { takeOptions } from "./call_options.js";
import {
  CALL_OPTIONS,
  callbackTensorInputs,
  checkFinite,
  checkInputs,
  checkLatents,
  checkPrompts,
  ENCODE_PROMPT_OPTIONS,
  type CallOptions,
} from "./check_inputs.js";
import { decode } from "./decode_latents.js";
import type { Components } from "./diffusion_pipeline.js";
import { encodePrompt, type PromptEmbeds } from "./encode_prompt.js";
import { FiniteCheck } from "./finite_check.js";
import { callLegacyCallback, warnOfLegacyCallback } from "./legacy_callback.js";
import { needComponent, type Need } from "./needed_components.js";
import type { ImageOutputType } from "./output_images.js";
import { guidanceEmbedding, prepareLatents, prepareTimesteps } from "./prepare.js";
import { Pace } from "./pace.js";
import { ProgressBar } from "./progress_bar.js";
import type { RawImage } from "./raw_image.js";
import type {
  EncodePromptOptions,
  StableDiffusionComponents,
  StableDiffusionOptions,
  StableDiffusionOutput,
} from "./stable_diffusion_options.js";
import { StableDiffusionMixin } from "./stable_diffusion_mixin.js";
import { checkSafety, patchLegacyConfigs, unetSampleSize } from "./stable_diffusion_config.js";
import { inTurn } from "./in_turn.js";

const NEEDS = {
  unet: { classes: [UNet2DConditionModel], purpose: "to draw" },
  scheduler: { classes: [Scheduler], purpose: "to draw" },
  vae: {
    classes: [AutoencoderKL, AutoencoderTiny],
    purpose: 'to decode the latents; outputType: "latent" does without',
  },
} satisfies Record<string, Need>;

type Prompt = string | readonly string[] | null;

// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- Callable gives the call
export interface StableDiffusionPipeline {
  (
    prompt: Prompt,
    options: StableDiffusionOptions & { outputType: "np" | "pt" | "latent" },
  ): Promise<StableDiffusionOutput<Tensor>>;
  (prompt: Prompt, options?: StableDiffusionOptions | null): Promise<StableDiffusionOutput>;
  /** An AutoencoderTiny may be assigned, too: it decodes. */
  get vae(): AutoencoderKL;
  set vae(vae: AutoencoderKL | AutoencoderTiny | null);
}

// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- see above
export class StableDiffusionPipeline extends StableDiffusionMixin {
  static override readonly className = "StableDiffusionPipeline";
  static override readonly componentNames = [
    "vae",
    "text_encoder",
    "tokenizer",
    "unet",
    "scheduler",
    "safety_checker",
    "feature_extractor",
    "image_encoder",
  ];
  static override readonly optionalNames = ["safety_checker", "feature_extractor", "image_encoder"];
  static override readonly componentClasses = {
    vae: AutoencoderKL,
    text_encoder: CLIPTextModel,
    unet: UNet2DConditionModel,
  };
  static override readonly initArguments = { requires_safety_checker: true };
  // A component that was given as null is null, whatever its type says; calls that need it say so.
  text_encoder: CLIPTextModel;
  tokenizer: CLIPTokenizer;
  override unet: UNet2DConditionModel;
  /** Any scheduler; assign another one made by fromConfig(pipeline.scheduler.config). */
  scheduler: Scheduler;
  /** There is none in this version. */
  readonly safety_checker = null;
  /** Kept as they were given; nothing here uses them. */
  feature_extractor: unknown;
  image_encoder: unknown;
  /** Of the call that runs; a callback may change both, and a scale up to 1 ends the guidance. */
  guidanceScale = 7.5;
  guidanceRescale = 0;
  /** Of the call that runs or ran last: for callbacks. */
  numTimesteps = 0;
  clipSkip: number | null = null;

  constructor(components: StableDiffusionComponents) {
    super();
    const { componentNames, optionalNames } = StableDiffusionPipeline;
    const missing = componentNames.filter(
      (key) => !optionalNames.includes(key) && (components as Components | undefined)?.[key] === undefined,
    );
    if (missing.length > 0)
      throw new TypeError(`StableDiffusionPipeline: components ${missing.join(", ")} are missing`);
    checkSafety(components);
    this.vae = components.vae as AutoencoderKL;
    this.text_encoder = components.text_encoder as CLIPTextModel;
    this.tokenizer = components.tokenizer as CLIPTokenizer;
    this.unet = components.unet as UNet2DConditionModel;
    this.scheduler = components.scheduler as Scheduler;
    this.feature_extractor = components.feature_extractor ?? null;
    this.image_encoder = components.image_encoder ?? null;
    const { requires_safety_checker = true } = components;
    this.remember({ requires_safety_checker });
    patchLegacyConfigs(components.scheduler, components.unet);
  }

  override get components(): StableDiffusionComponents {
    return super.components as StableDiffusionComponents;
  }

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
    const options: CallOptions = takeOptions("StableDiffusionPipeline", given, CALL_OPTIONS, "warn");
    const needed =
      options.outputType === "latent" ? (["unet", "scheduler"] as const) : (["unet", "scheduler", "vae"] as const);
    for (const name of needed) needComponent("StableDiffusionPipeline", name, this[name], NEEDS[name]);
    const { scheduler } = this;
    // 0. Default height and width to unet
    this.expectModels();
    const scaleFactor = this.vaeScaleFactor;
    const [defaultHeight, defaultWidth] = unetSampleSize(this.unet).map((n) => n * scaleFactor);
    const { height = defaultHeight, width = defaultWidth } = options;

    // 1. Check inputs
    checkInputs(prompt, { height, width }, options, this.device);
    warnOfLegacyCallback(options);
    throwIfAborted(options.signal);
    return inTurn([this, scheduler], options.signal, () =>
      this.#draw(prompt, scheduler, { ...options, height, width }),
    );
  }

  /** The call, when its turn has come, with the scheduler that the pipeline had when it was made. */
  async #draw(
    prompt: Prompt,
    scheduler: Scheduler,
    options: CallOptions & { height: number; width: number },
  ): Promise<StableDiffusionOutput<RawImage[] | Tensor>> {
    const { device, unet } = this;
    const { height, width, guidanceScale = 7.5, guidanceRescale = 0, numImagesPerPrompt = 1 } = options;
    const { outputType = "image" } = options;
    const scaleFactor = this.vaeScaleFactor;
    this.interrupt = false;

    // 2. Define call parameters
    const batch =
      (typeof prompt === "string" ? 1 : (prompt?.length ?? options.promptEmbeds?.shape[0] ?? 1)) * numImagesPerPrompt;
    Object.assign(this, { guidanceScale, guidanceRescale, clipSkip: options.clipSkip ?? null });

    let embeds: PromptEmbeds | undefined;
    let latents: Tensor | undefined;
    let check: FiniteCheck | undefined;
    try {
      // 4. Prepare timesteps: before step 3, so that a schedule that cannot be is refused at once
      const timesteps = prepareTimesteps(scheduler, options);
      this.numTimesteps = timesteps.length;

      // 3. Encode input prompt
      embeds = await encodePrompt(this, prompt, { ...options, guided: this.doClassifierFreeGuidance });

      // 5. Prepare latent variables
      latents = prepareLatents(
        device,
        [batch, unet.config.in_channels, ...[height, width].map((side) => Math.floor(side / scaleFactor))],
        scheduler.initNoiseSigma,
        { ...options, dtype: (this.text_encoder as CLIPTextModel | null)?.dtype ?? unet.dtype },
      );

      // 6. and 7. Denoising loop
      check = new FiniteCheck(device, timesteps.length + 4);
      check.look(embeds.positive, { module: "text_encoder" });
      check.look(latents, { module: "latents" });
      latents = await this.#denoise(latents, embeds, timesteps, scheduler, check, options);
      check.look(latents, { module: "scheduler" });
      options.signal?.throwIfAborted();

      // 8. Decode
      this.expectModels();
      if (outputType === "latent") {
        await check.expectFinite();
        const images = latents;
        latents = undefined;
        return { images, nsfwContentDetected: null };
      }
      return {
        images: await decode(this, latents, outputType, { check, signal: options.signal }),
        nsfwContentDetected: null,
      };
    } finally {
      check?.dispose();
      for (const tensor of [latents, embeds?.positive, embeds?.negative]) tensor?.dispose();
      scheduler.reset();
      device.trim();
      await device.flush();
    }
  }

  /**
   * What texts are for the UNet: the promptEmbeds and negativePromptEmbeds of a call, to be mixed, weighted or kept.
   * @returns both [batch * numImagesPerPrompt, tokens, width], the second null without guidance. The caller disposes them.
   * @throws RangeError, TypeError for wrong arguments
   * @example
   * const [promptEmbeds, negativePromptEmbeds] = await pipeline.encodePrompt("a red circle");
   */
  async encodePrompt(
    prompt: Prompt,
    given?: EncodePromptOptions | null,
  ): Promise<[promptEmbeds: Tensor, negativePromptEmbeds: Tensor | null]> {
    const options = takeOptions("StableDiffusionPipeline.encodePrompt", given, ENCODE_PROMPT_OPTIONS, "refuse");
    this.expectModels();
    const { device } = this;
    checkPrompts(prompt, options, device);
    const { doClassifierFreeGuidance: guided = true } = options;
    const { positive, negative } = await encodePrompt(this, prompt, { ...options, guided });
    await device.flush();
    return [positive, negative];
  }

  /** Pixels per latent along each side; without a VAE diffusers counts on 8. */
  get vaeScaleFactor(): number {
    return (this.vae as AutoencoderKL | null)?.scaleFactor ?? 8;
  }

  /** Classifier-free guidance: not for distilled models, which take the scale as an input. */
  get doClassifierFreeGuidance(): boolean {
    return this.guidanceScale > 1 && this.unet.config.time_cond_proj_dim === null;
  }

  async #denoise(
    initial: Tensor,
    embeds: PromptEmbeds,
    timesteps: readonly number[],
    scheduler: Scheduler,
    check: FiniteCheck,
    options: CallOptions,
  ): Promise<Tensor> {
    const { device, unet } = this;
    const { generator, eta = 0, signal, callbackOnStepEnd } = options;
    let latents = initial;
    // For classifier free guidance both embeddings go through in one batch
    if (embeds.negative) embeds.positive = replace(embeds.positive, concat(embeds.negative, embeds.positive, 0));
    const timestepCond = guidanceEmbedding(unet, latents, this.guidanceScale);
    const bar = new ProgressBar(Math.ceil(timesteps.length / scheduler.order), this.progressBarConfig);
    const pace = new Pace(device);
    const steps = new UNetSteps(unet, device, timesteps);
    try {
      for (const [i, t] of timesteps.entries()) {
        signal?.throwIfAborted();
        this.expectModels();
        if (this.interrupt) break;
        const current = latents;
        const guided = this.doClassifierFreeGuidance;
        latents = device.scope(() => {
          // expand the latents if we are doing classifier free guidance
          const input = scheduler.scaleModelInput(guided ? concat(current, current, 0) : current, t);
          // predict the noise residual
          const prediction = steps.predict(input, t, embeds.positive, { timestepCond });
          // perform guidance
          const noise = guided
            ? guide(prediction, { scale: this.guidanceScale, rescale: this.guidanceRescale })
            : prediction;
          check.look(noise, { module: "unet", step: i });
          // compute the previous noisy sample x_t -> x_t-1
          return scheduler.step(noise, t, current, { eta, generator }).prevSample;
        });
        current.dispose();
        await pace.step();

        if (callbackOnStepEnd) {
          const given = {
            latents,
            prompt_embeds: embeds.positive,
            negative_prompt_embeds: embeds.negative,
          };
          const wanted = pick(given, callbackTensorInputs(options));
          const replaced = takeReturned(await callbackOnStepEnd(this, i, t, wanted), latents);
          for (const name of ["guidanceScale", "guidanceRescale"] as const) checkFinite(name, this[name]);
          latents = replace(latents, replaced.latents);
          embeds.positive = replace(embeds.positive, replaced.prompt_embeds);
          if (embeds.negative) embeds.negative = replace(embeds.negative, replaced.negative_prompt_embeds);
        }
        if ((i + 1) % scheduler.order === 0 || i === timesteps.length - 1) bar.update();
        await callLegacyCallback(options, i, { timesteps, order: scheduler.order, latents });
      }
      return latents;
    } catch (error) {
      latents.dispose();
      throw error;
    } finally {
      bar.close();
      steps.dispose();
      timestepCond?.dispose();
    }
  }

  /**
   * Pictures of latents as `outputType: "latent"` returns them.
   * @param latents [batch, channels, height / vaeScaleFactor, width / vaeScaleFactor]; not disposed
   * @returns batch pictures of height x width, or for "np" [batch, height, width, 3], for "pt" [batch, 3, height, width], in [0, 1];
   *   the caller disposes a Tensor
   * @throws RangeError, TypeError for wrong arguments; NumericalError where the pictures are not finite
   */
  async decodeLatents(latents: Tensor, outputType: "np" | "pt"): Promise<Tensor>;
  async decodeLatents(latents: Tensor, outputType?: ImageOutputType): Promise<RawImage[] | Tensor>;
  async decodeLatents(latents: Tensor, outputType: ImageOutputType = "image"): Promise<RawImage[] | Tensor> {
    needComponent("StableDiffusionPipeline", "vae", this.vae, NEEDS.vae);
    this.expectModels();
    const { device } = this;
    checkLatents(latents, outputType, device);
    const check = new FiniteCheck(device, 1);
    try {
      return await decode(this, latents, outputType, { check });
    } finally {
      check.dispose();
      device.trim();
      // What goes wrong with other work meanwhile is for those who wait for that.
      await device.flush().catch(() => undefined);
    }
  }
}
