/** What the pipelines of Stable Diffusion have in common: their components, prompts, the run from latents to pictures. */
import type { CLIPTokenizer } from "../loader/clip_tokenizer.js";
import { AutoencoderKL } from "../nn/autoencoder_kl.js";
import { AutoencoderTiny } from "../nn/autoencoder_tiny.js";
import { CLIPTextModel } from "../nn/clip_text_model.js";
import { UNet2DConditionModel } from "../nn/unet_2d_condition.js";
import { Scheduler } from "../schedulers/index.js";
import type { DType } from "../tensor/dtype.js";
import type { Tensor } from "../tensor/tensor.js";
import { takeOptions } from "./call_options.js";
import { checkLatents, checkPrompts, ENCODE_PROMPT_OPTIONS, type CallOptions } from "./check_inputs.js";
import { decode } from "./decode_latents.js";
import { denoise, type Run } from "./denoise.js";
import type { Components } from "./diffusion_pipeline.js";
import { encodePrompt, type PromptEmbeds } from "./encode_prompt.js";
import { FiniteCheck } from "./finite_check.js";
import { inTurn } from "./in_turn.js";
import type { Inpainting } from "./inpainting.js";
import { needComponent, type Need } from "./needed_components.js";
import type { ImageOutputType } from "./output_images.js";
import type { RawImage } from "./raw_image.js";
import { checkSafety, patchLegacyConfigs, unetSampleSize } from "./stable_diffusion_config.js";
import { StableDiffusionMixin } from "./stable_diffusion_mixin.js";
import type {
  EncodePromptOptions,
  Prompt,
  StableDiffusionComponents,
  StableDiffusionOutput,
} from "./stable_diffusion_options.js";

const NEEDS = {
  unet: { classes: [UNet2DConditionModel], purpose: "to draw" },
  scheduler: { classes: [Scheduler], purpose: "to draw" },
  vae: {
    classes: [AutoencoderKL, AutoencoderTiny],
    purpose: 'to decode the latents; outputType: "latent" does without',
  },
} satisfies Record<string, Need>;

/** How one kind of pipeline begins. */
export interface Start {
  /** The schedule; made first, so that one that cannot be is refused at once. */
  timesteps: () => readonly number[];
  /** @param dtype in which noise is drawn */
  latents: (batch: number, dtype: DType, timesteps: readonly number[]) => Beginning | Promise<Beginning>;
}

/** Disposed by the run. */
export interface Beginning {
  /** [batch, channels, height, width] as the first timestep wants them. */
  latents: Tensor;
  inpainting?: Inpainting;
}

// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- an accessor of two types
export interface StableDiffusionBase {
  /** An AutoencoderTiny may be assigned, too: it decodes. */
  get vae(): AutoencoderKL;
  set vae(vae: AutoencoderKL | AutoencoderTiny | null);
}

// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- see above
export abstract class StableDiffusionBase extends StableDiffusionMixin {
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
    const { className, componentNames, optionalNames } = new.target as unknown as typeof StableDiffusionBase;
    const missing = componentNames.filter(
      (key) => !optionalNames.includes(key) && (components as Components | undefined)?.[key] === undefined,
    );
    if (missing.length > 0) throw new TypeError(`${className}: components ${missing.join(", ")} are missing`);
    checkSafety(className, components);
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
   * What a call works with, as it is at this moment.
   * @throws TypeError, Error where components are missing or freed
   */
  protected prepareRun({ outputType }: CallOptions): Run {
    for (const name of ["unet", "scheduler", ...(outputType === "latent" ? [] : (["vae"] as const))] as const)
      needComponent(this.className, name, this[name], NEEDS[name]);
    this.expectModels();
    return { scheduler: this.scheduler, bar: this.progressBarConfig };
  }

  /** @throws RangeError for a UNet whose input is more than latents, as those for inpainting */
  protected expectLatentsAlone(): void {
    const { in_channels: takes, out_channels: gives } = this.unet.config;
    if (takes <= gives) return;
    const cure =
      takes === 9
        ? "StableDiffusionInpaintPipeline.fromPipe(pipeline) draws with it"
        : "no pipeline of this version draws with it";
    throw new RangeError(
      `${this.className}: the UNet was trained for more than latents, it takes ${takes} channels (in_channels) and gives ${gives}; ${cure}`,
    );
  }

  /** A checked call, when those before it on the same pipeline or the same scheduler are done. */
  protected run(
    prompt: Prompt,
    run: Run,
    start: Start,
    options: CallOptions,
  ): Promise<StableDiffusionOutput<RawImage[] | Tensor>> {
    return inTurn([this, run.scheduler], options.signal, () => this.#draw(prompt, run, start, options));
  }

  async #draw(
    prompt: Prompt,
    run: Run,
    start: Start,
    options: CallOptions,
  ): Promise<StableDiffusionOutput<RawImage[] | Tensor>> {
    const { device, unet } = this;
    const { scheduler } = run;
    const { guidanceScale = 7.5, guidanceRescale = 0, numImagesPerPrompt = 1, outputType = "image" } = options;
    this.interrupt = false;
    Object.assign(this, { guidanceScale, guidanceRescale, clipSkip: options.clipSkip ?? null });
    const prompts = typeof prompt === "string" ? 1 : (prompt?.length ?? options.promptEmbeds?.shape[0] ?? 1);

    let embeds: PromptEmbeds | undefined;
    let latents: Tensor | undefined;
    let inpainting: Inpainting | undefined;
    let check: FiniteCheck | undefined;
    try {
      const timesteps = start.timesteps();
      this.numTimesteps = timesteps.length;
      embeds = await encodePrompt(this, prompt, { ...options, guided: this.doClassifierFreeGuidance });
      const dtype = (this.text_encoder as CLIPTextModel | null)?.dtype ?? unet.dtype;
      ({ latents, inpainting } = await start.latents(prompts * numImagesPerPrompt, dtype, timesteps));

      check = new FiniteCheck(device, timesteps.length + 4);
      check.look(embeds.positive, { module: "text_encoder" });
      check.look(latents, { module: "latents" });
      const expectModels = (): void => this.expectModels();
      const begun = { initial: latents, inpainting, embeds, timesteps, check, expectModels };
      latents = await denoise(this, run, begun, options);
      check.look(latents, { module: "scheduler" });
      options.signal?.throwIfAborted();

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
      inpainting?.dispose();
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
    const options = takeOptions(`${this.className}.encodePrompt`, given, ENCODE_PROMPT_OPTIONS, "refuse");
    this.expectModels();
    const { device } = this;
    checkPrompts(prompt, options, device);
    const { doClassifierFreeGuidance: guided = true } = options;
    const { positive, negative } = await encodePrompt(this, prompt, { ...options, guided });
    await device.flush();
    return [positive, negative];
  }

  /** Pixels that a call draws: what it was given, and the size that the model was trained for. */
  drawnSize(given: Pick<CallOptions, "height" | "width">): { height: number; width: number } {
    const [height, width] = unetSampleSize(this.unet).map((n) => n * this.vaeScaleFactor);
    return { height: given.height ?? height, width: given.width ?? width };
  }

  /** Pixels per latent along each side; without a VAE diffusers counts on 8. */
  get vaeScaleFactor(): number {
    return (this.vae as AutoencoderKL | null)?.scaleFactor ?? 8;
  }

  /** Classifier-free guidance: not for distilled models, which take the scale as an input. */
  get doClassifierFreeGuidance(): boolean {
    return this.guidanceScale > 1 && this.unet.config.time_cond_proj_dim === null;
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
    needComponent(this.className, "vae", this.vae, NEEDS.vae);
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
