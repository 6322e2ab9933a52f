/** What the pipelines of Stable Diffusion have in common, XL included: the run from latents to pictures. */
import type { CLIPTokenizer } from "../../loader/tokenizer/clip_tokenizer.js";
import type { CLIPTextModel } from "../../nn/clip/clip_text_model.js";
import type { ClassLabels } from "../../nn/unet/class_embedding.js";
import { UNet2DConditionModel } from "../../nn/unet/unet_2d_condition.js";
import { AutoencoderKL } from "../../nn/vae/autoencoder_kl.js";
import { AutoencoderTiny } from "../../nn/vae/autoencoder_tiny.js";
import { Scheduler } from "../../schedulers/index.js";
import type { DType } from "../../tensor/dtype.js";
import { linearCombination } from "../../tensor/ops/elementwise.js";
import { Tensor } from "../../tensor/tensor.js";
import { checkImagePrompts } from "../adapters/image_prompts.js";
import { IPAdapterLoader } from "../adapters/ip_adapter_loader.js";
import { checkFinite, checkLatents, type CallOptions } from "../call/check_inputs.js";
import { decode } from "../call/decode_latents.js";
import { denoise, type Run } from "../call/denoise.js";
import type { PromptEmbeds } from "../call/encode_prompt.js";
import { FiniteCheck, type Place } from "../call/finite_check.js";
import { PROMPT_GUIDANCE, type Guidance, type Scales } from "../call/guidance.js";
import { inTurn } from "../call/in_turn.js";
import type { InputChannels } from "../call/input_channels.js";
import type { ImageOutputType } from "../call/output_images.js";
import { inspector, type SafetyComponents } from "../call/safety.js";
import type { Controls } from "../controlnet/controls.js";
import type { Components } from "../diffusion_pipeline.js";
import type { RawImage } from "../images/raw_image.js";
import { needComponent, type Need } from "../loading/needed_components.js";
import type { StepFeatures } from "../t2i_adapter/step_features.js";
import type { Preconditioning } from "../upscale/preconditioning.js";
import { unetSampleSize } from "./stable_diffusion_config.js";
import type { StableDiffusionOutput } from "./stable_diffusion_options.js";

const NEEDS = {
  unet: { classes: [UNet2DConditionModel], purpose: "to draw" },
  scheduler: { classes: [Scheduler], purpose: "to draw" },
  vae: {
    classes: [AutoencoderKL, AutoencoderTiny],
    purpose: 'to decode the latents; outputType: "latent" does without',
  },
} satisfies Record<string, Need>;

/** What draws with UNets of so many channels, taken and given, which see a picture beside the latents, and takes more than others have. */
const OF_PICTURES: Readonly<Record<string, string>> = {
  "7 4": "StableDiffusionUpscalePipeline.fromPipe(pipeline, { low_res_scheduler: new DDPMScheduler(…) }) draws with it",
  "8 5": "StableDiffusionLatentUpscalePipeline.fromPipe(pipeline) draws with it",
  "5 4": "StableDiffusionDepth2ImgPipeline.fromPipe(pipeline, { depth_estimator, feature_extractor }) draws with it",
};

/** The models of a step. */
const STEPPED = ["unet", "controlnet"];

/** Of Stable Diffusion's latents. */
const LATENT_CHANNELS = 4;

type Rest<T> = T extends [unknown, ...infer R] ? R : never;

/** How one kind of pipeline begins. */
export interface Start {
  /** The prompts, when it is their turn. */
  prompts: () => Promise<PromptEmbeds>;
  /** Who makes them, for messages. Default the text encoder. */
  encoder?: Place["module"];
  /** The schedule; made first, so that one that cannot be is refused at once. */
  timesteps: () => readonly number[];
  /** Components that `latents` works with. */
  uses?: readonly string[];
  /** Other schedulers than the loop's that the call goes by. */
  schedulers?: readonly Scheduler[];
  /** @param dtype in which noise is drawn */
  latents: (batch: number, dtype: DType, timesteps: readonly number[]) => Beginning | Promise<Beginning>;
}

/**
 * What a call takes besides prompts: pictures and their kinds, how far back to noise one goes, and the size that is drawn where no picture
 * says it; an encoded image comes first, before the options.
 */
export type CallInput =
  "size" | "image" | "maskImage" | "controlImage" | "controlMode" | "strength" | "depthMap" | "encodedImage";

/** Disposed by the run. */
export interface Beginning extends Beside {
  /** [batch, channels, height, width] as the first timestep wants them. */
  latents: Tensor;
}

/** What the loop needs besides latents and prompts. */
export interface Beside {
  channels?: InputChannels;
  controls?: Controls;
  /** Of a T2I-Adapter. */
  features?: StepFeatures;
  /** One for all pictures, or a tensor with rows as the prompts have them, which is disposed by the run. */
  classLabels?: ClassLabels;
  preconditioning?: Preconditioning;
}

// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- an accessor of two types
export interface LatentDiffusion {
  /** An AutoencoderTiny may be assigned, too: it decodes. */
  get vae(): AutoencoderKL;
  set vae(vae: AutoencoderKL | AutoencoderTiny | null);
}

// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- see above
export abstract class LatentDiffusion extends IPAdapterLoader {
  /** For `estimateMemory`, which makes a call. */
  static readonly callInputs: readonly CallInput[] = ["size"];
  // A component that was given as null is null, whatever its type says; calls that need it say so.
  abstract override text_encoder: CLIPTextModel;
  abstract override tokenizer: CLIPTokenizer;
  abstract override unet: UNet2DConditionModel;
  /** Any scheduler; assign another one made by fromConfig(pipeline.scheduler.config). */
  abstract scheduler: Scheduler;
  /** Of the call that runs; a callback may change both, and a scale up to 1 ends the guidance. */
  guidanceScale = 7.5;
  guidanceRescale = 0;
  /** Of the call that runs or ran last: for callbacks. */
  numTimesteps = 0;
  /** What is compared, and by which scales. */
  readonly guidance: Guidance = PROMPT_GUIDANCE;
  /** Which class draws with these components where the UNet takes so many channels; for messages. */
  protected readonly classOfChannels: Readonly<Record<number, string>> = {
    4: "StableDiffusionPipeline",
    8: "StableDiffusionInstructPix2PixPipeline",
    9: "StableDiffusionInpaintPipeline",
  };
  clipSkip: number | null = null;
  /** Whether `callback` is called after each model call, and not after those alone that end a step of the schedule. */
  readonly callsBackEachTime: boolean = false;
  /** Whether pictures are what the scheduler's last step guesses the end to be, `denoised`, and not its sample. */
  readonly drawsDenoised: boolean = false;

  /** @throws TypeError naming components that the constructor needs and was not given, not even as null */
  protected expectComponents(components: Components | undefined): void {
    const { className, componentNames, optionalNames } = this.constructor as typeof LatentDiffusion;
    const missing = componentNames.filter((key) => !optionalNames.includes(key) && components?.[key] === undefined);
    if (missing.length > 0) throw new TypeError(`${className}: components ${missing.join(", ")} are missing`);
  }

  /**
   * What a call works with, as it is at this moment.
   * @throws TypeError, Error where components are missing or freed
   */
  protected prepareRun(options: CallOptions): Run {
    for (const name of ["unet", "scheduler", ...(options.outputType === "latent" ? [] : (["vae"] as const))] as const)
      needComponent(this.className, name, this[name], NEEDS[name]);
    this.expectModels();
    checkImagePrompts(this, options);
    // A checker that cannot be used is refused before anything is drawn.
    if (options.outputType !== "latent") this.inspector();
    return { scheduler: this.scheduler, bar: this.progressBarConfig };
  }

  /** @throws RangeError for a UNet whose input is more than latents, as those for inpainting */
  protected expectLatentsAlone(): void {
    const { in_channels: takes, out_channels: gives } = this.unet.config;
    if (takes <= gives) return;
    throw new RangeError(
      `${this.className}: the UNet was trained for more than latents, it takes ${takes} channels (in_channels) and gives ${gives}; ${this.otherClass}`,
    );
  }

  /** What to do with this UNet, for messages. */
  get otherClass(): string {
    const { in_channels: takes, out_channels: gives } = this.unet.config;
    const special = OF_PICTURES[`${takes} ${gives}`] as string | undefined;
    if (special) return special;
    const name = gives === LATENT_CHANNELS ? this.classOfChannels[takes] : undefined;
    return name ? `${name}.fromPipe(pipeline) draws with it` : "no pipeline of this version draws with it";
  }

  /** A checked call, when those before it on the same pipeline or the same scheduler are done. */
  protected run(run: Run, start: Start, options: CallOptions): Promise<StableDiffusionOutput<RawImage[] | Tensor>> {
    const draw = (): Promise<StableDiffusionOutput<RawImage[] | Tensor>> => this.#draw(run, start, options);
    const schedulers = [run.scheduler, ...(start.schedulers ?? [])];
    return inTurn([this, ...schedulers], options.signal, () => this.thenFree(() => this.withLoraScale(options, draw)));
  }

  async #draw(run: Run, start: Start, options: CallOptions): Promise<StableDiffusionOutput<RawImage[] | Tensor>> {
    const { device } = this;
    const { scheduler } = run;
    const { outputType = "image" } = options;
    this.interrupt = false;
    this.clipSkip = options.clipSkip ?? null;
    const given: Partial<Scales> = options;
    for (const [name, value] of Object.entries(this.guidance.scales))
      Object.assign(this, { [name]: given[name as keyof Scales] ?? (value as number) });

    let embeds: PromptEmbeds | undefined;
    let latents: Tensor | undefined;
    let beside: Beside = {};
    let imageTokens: Tensor[] = [];
    let check: FiniteCheck | undefined;
    try {
      const timesteps = start.timesteps();
      this.numTimesteps = timesteps.length;
      embeds = await start.prompts();
      const [batch] = embeds.positive.shape;
      imageTokens = await this.imageTokens(options, batch, this.doClassifierFreeGuidance);
      const { noiseDType: dtype } = this;
      ({ latents, ...beside } = await this.withModels(start.uses ?? [], async () =>
        start.latents(batch, dtype, timesteps),
      ));

      check = new FiniteCheck(device, timesteps.length + 6);
      check.look(embeds.positive, { module: start.encoder ?? "text_encoder" });
      if (beside.classLabels instanceof Tensor) check.look(beside.classLabels, { module: "image_encoder" });
      check.look(latents, { module: "latents" });
      if (beside.features) check.look(beside.features.last, { module: "adapter" });
      const expectModels = (): void => this.expectModels();
      const begun = { initial: latents, beside, imageTokens, embeds, timesteps, check, expectModels };
      latents = await this.withModels(STEPPED, () => denoise(this, run, begun, options));
      check.look(latents, { module: "scheduler" });
      options.signal?.throwIfAborted();

      this.expectModels();
      if (outputType === "latent") {
        await check.expectFinite();
        const images = latents;
        latents = undefined;
        return { images, nsfwContentDetected: null };
      }
      const inspect = this.inspector()?.(embeds.positive.dtype);
      const { images, flagged } = await this.#decode(latents, outputType, { check, signal: options.signal, inspect });
      return { images, nsfwContentDetected: flagged };
    } finally {
      check?.dispose();
      for (const each of [beside.channels, beside.controls, beside.features]) each?.dispose();
      if (beside.classLabels instanceof Tensor) beside.classLabels.dispose();
      const { positive, negative, added, timestepCond } = embeds ?? {};
      const given = [positive, negative, added?.textEmbeds, added?.timeIds, timestepCond, ...imageTokens];
      for (const tensor of [latents, ...given]) tensor?.dispose();
      scheduler.reset();
      device.trim();
      await device.flush();
    }
  }

  #decode(...args: Rest<Parameters<typeof decode>>): ReturnType<typeof decode> {
    return this.withModels(["vae"], () => decode(this, ...args));
  }

  /** The safety checker looks at pictures before they are returned; of pipelines that have none nobody. */
  protected inspector(): ReturnType<typeof inspector> {
    const made = "safety_checker" in this ? inspector(this.className, this as SafetyComponents) : null;
    return made && ((dtype) => (pictures) => this.withModels(["safety_checker"], () => made(dtype)(pictures)));
  }

  /** Pixels that a call draws: what it was given, and the size that the model was trained for. */
  drawnSize(given: Pick<CallOptions, "height" | "width">): { height: number; width: number } {
    const [height, width] = unetSampleSize(this.unet).map((n) => n * this.vaeScaleFactor);
    return { height: given.height ?? height, width: given.width ?? width };
  }

  /** Pixels of a picture that a call begins with: what was given, and those that the model was trained for. */
  imageSize(given: Pick<CallOptions, "height" | "width">): { height: number; width: number } {
    return this.drawnSize(given);
  }

  /** In what noise is drawn and pictures are encoded: the dtype of the prompts' embeddings, as in diffusers. */
  protected get noiseDType(): DType {
    return (this.text_encoder as CLIPTextModel | null)?.dtype ?? this.unet.dtype;
  }

  /** Latents as the VAE takes them. This pipeline of diffusers knows nothing of the config's shift_factor. */
  unscaled(latents: Tensor): Tensor {
    return linearCombination([[1 / this.vae.config.scaling_factor, latents]]);
  }

  /** Pixels per latent along each side; without a VAE diffusers counts on 8. */
  get vaeScaleFactor(): number {
    return (this.vae as AutoencoderKL | null)?.scaleFactor ?? 8;
  }

  /** Whether the UNet takes the guidance scale as an input, as distilled models (LCM) do. */
  get readsGuidance(): boolean {
    return this.unet.config.time_cond_proj_dim !== null;
  }

  /** @throws RangeError where a callback has set a scale that is infinite or no number */
  expectFiniteScales(): void {
    for (const name of Object.keys(this.guidance.scales)) checkFinite(name, (this as Scales)[name as keyof Scales]);
  }

  /** Classifier-free guidance. */
  get doClassifierFreeGuidance(): boolean {
    return this.guidance.isOn(this) && !this.readsGuidance;
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
      return (await this.thenFree(() => this.#decode(latents, outputType, { check }))).images;
    } finally {
      check.dispose();
      device.trim();
      // What goes wrong with other work meanwhile is for those who wait for that.
      await device.flush().catch(() => undefined);
    }
  }
}
