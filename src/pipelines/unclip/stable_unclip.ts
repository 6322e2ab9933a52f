import { throwIfAborted } from "../../arguments/signal.js";
import { CLIPTokenizer } from "../../loader/tokenizer/clip_tokenizer.js";
import { CLIPTextModelWithProjection } from "../../nn/clip/clip_text_model.js";
import { PriorTransformer } from "../../nn/unclip/prior_transformer.js";
import { Scheduler } from "../../schedulers/index.js";
import type { DType } from "../../tensor/dtype.js";
import { cast } from "../../tensor/ops/copy.js";
import type { Tensor } from "../../tensor/tensor.js";
import { takeOptions } from "../call/call_options.js";
import { checkCount, checkFinite, checkInputs, checkTensor, promptCount } from "../call/check_inputs.js";
import { afterEncoding } from "../call/encode_image.js";
import { checkGenerators, expectShape, soleGenerator } from "../call/initial_noise.js";
import { prepareLatents, prepareTimesteps } from "../call/prepare.js";
import type { RawImage } from "../images/raw_image.js";
import { needComponent } from "../loading/needed_components.js";
import type { Prompt } from "../stable_diffusion/stable_diffusion_options.js";
import type { ImagePipelineOutput } from "../unconditional/unconditional.js";
import { drawImageEmbeds } from "./prior_loop.js";
import { disposeTexts, encodePriorTexts } from "./prior_texts.js";
import { UnCLIPBase } from "./unclip_base.js";
import { UNCLIP_DEFAULTS, UNCLIP_OPTIONS, type UnCLIPOptions, type UnCLIPTextComponents } from "./unclip_options.js";

const purpose = "to guess what a picture that goes with the prompt looks like";
const NEEDS = {
  prior_tokenizer: { classes: [CLIPTokenizer], purpose },
  prior_text_encoder: { classes: [CLIPTextModelWithProjection], purpose },
  prior: { classes: [PriorTransformer], purpose },
  prior_scheduler: { classes: [Scheduler], purpose },
};

// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- Callable gives the call
export interface StableUnCLIPPipeline {
  (
    prompt: Prompt,
    options: UnCLIPOptions & { outputType: "np" | "pt" | "latent" },
  ): Promise<ImagePipelineOutput<Tensor>>;
  (prompt: Prompt, options?: UnCLIPOptions | null): Promise<ImagePipelineOutput>;
}

/**
 * Text to picture by way of CLIP's space: a prior guesses what CLIP would see in a picture, and the UNet is told of that beside the prompt.
 * diffusers: pipelines/stable_diffusion/pipeline_stable_unclip.py
 * @example
 * const parts = { prior_tokenizer, prior_text_encoder, prior, prior_scheduler };
 * const pipeline = await StableUnCLIPPipeline.fromPretrained("stabilityai/stable-diffusion-2-1-unclip-small", parts);
 */
// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- see above
export class StableUnCLIPPipeline extends UnCLIPBase {
  static override readonly className = "StableUnCLIPPipeline";
  static override readonly componentNames = [
    "prior_tokenizer",
    "prior_text_encoder",
    "prior",
    "prior_scheduler",
    "image_normalizer",
    "image_noising_scheduler",
    "tokenizer",
    "text_encoder",
    "unet",
    "scheduler",
    "vae",
  ];
  static override readonly componentClasses = {
    ...UnCLIPBase.componentClasses,
    prior_text_encoder: CLIPTextModelWithProjection,
    prior: PriorTransformer,
  };
  prior_tokenizer: CLIPTokenizer;
  prior_text_encoder: CLIPTextModelWithProjection;
  prior: PriorTransformer;
  /** Of the prior's steps; another one may be assigned. */
  prior_scheduler: Scheduler;
  image_encoder: null = null;
  feature_extractor: null = null;

  constructor(components: UnCLIPTextComponents) {
    super(components);
    this.prior_tokenizer = components.prior_tokenizer as CLIPTokenizer;
    this.prior_text_encoder = components.prior_text_encoder as CLIPTextModelWithProjection;
    this.prior = components.prior as PriorTransformer;
    this.prior_scheduler = components.prior_scheduler as Scheduler;
  }

  override get components(): UnCLIPTextComponents {
    return super.components as UnCLIPTextComponents;
  }

  /**
   * Draws pictures. It takes turns as a StableDiffusionPipeline does.
   * @param prompt one text or a list
   * @returns images: RawImage[] by default, a Tensor for the other output types (the caller disposes it)
   * @throws RangeError, TypeError for wrong arguments; the signal's reason when aborted
   */
  override async call(prompt: Prompt, given?: UnCLIPOptions | null): Promise<ImagePipelineOutput<RawImage[] | Tensor>> {
    const { noiseLevel = 0, ...taken } = takeOptions(this.className, given, UNCLIP_OPTIONS, "warn");
    const { priorLatents, priorNumInferenceSteps = 25, priorGuidanceScale = 4, ...others } = taken;
    const options = { ...UNCLIP_DEFAULTS, ...others, generator: soleGenerator(taken.generator) };
    const run = this.prepareRun(options);
    this.expectLatentsAlone();
    const { device, unet, vaeScaleFactor } = this;
    const size = this.drawnSize(options);
    checkInputs(prompt, size, options, device);
    checkCount("priorNumInferenceSteps", priorNumInferenceSteps);
    checkFinite("priorGuidanceScale", priorGuidanceScale);
    const { prior, scheduler } = this.#needPrior();
    const noiser = this.noiser(noiseLevel);
    const { numImagesPerPrompt = 1, generator } = options;
    const batch = numImagesPerPrompt * promptCount(prompt, options);
    checkGenerators(generator, batch);
    checkTensor("priorLatents", priorLatents, ["batch", "width"], device);
    if (priorLatents) expectShape(priorLatents, [batch, prior.config.embedding_dim], "priorLatents");
    throwIfAborted(options.signal);
    const draw = { steps: priorNumInferenceSteps, scale: priorGuidanceScale, latents: priorLatents, batch };
    const sides = [size.height, size.width].map((side) => Math.floor(side / vaeScaleFactor));
    const latents = async (_: number, dtype: DType): Promise<{ latents: Tensor; classLabels: Tensor }> => {
      const texts = typeof prompt === "string" ? [prompt] : prompt!;
      const embeds = await this.#imageEmbeds(texts, { ...draw, prior, scheduler, bar: run.bar }, options);
      const begun = await this.withModels(["image_normalizer"], async () => ({
        classLabels: device.scope(() => this.guidedLabels(noiser(embeds, { generator }))),
        latents: prepareLatents(device, [batch, unet.config.in_channels, ...sides], run.scheduler.initNoiseSigma, {
          ...options,
          dtype,
        }),
      })).finally(() => embeds.dispose());
      await afterEncoding(device, [begun.classLabels, begun.latents]);
      return begun;
    };
    const timesteps = (): readonly number[] => prepareTimesteps(run.scheduler, options);
    const { images } = await this.runPrompts(prompt, run, { timesteps, latents, schedulers: [scheduler] }, options);
    return { images };
  }

  /** The prior, of this moment. */
  #needPrior(): { prior: PriorTransformer; scheduler: Scheduler } {
    for (const name of ["prior_tokenizer", "prior_text_encoder", "prior", "prior_scheduler"] as const)
      needComponent(this.className, name, this[name], NEEDS[name]);
    const { prior, prior_scheduler: scheduler } = this;
    this.expectLabels(prior.config.clip_embed_dim ?? prior.config.embedding_dim);
    if (scheduler === this.scheduler)
      throw new TypeError(
        `${this.className}: scheduler and prior_scheduler must be two objects, each counts steps of its own`,
      );
    return { prior, scheduler };
  }

  /** What the prior guesses, [batch, width], in the dtype in which noise is added to it. */
  async #imageEmbeds(
    texts: readonly string[],
    run: Omit<Parameters<typeof drawImageEmbeds>[0], "device" | "texts" | "dtype" | "goesOn">,
    options: Parameters<typeof drawImageEmbeds>[1],
  ): Promise<Tensor> {
    const { device, prior_tokenizer: tokenizer, prior_text_encoder: model } = this;
    const branches = run.scale > 1 ? this.guidance.branches : null;
    const { numImagesPerPrompt: count = 1 } = options;
    const read = await this.withModels(["prior_text_encoder"], () =>
      encodePriorTexts({ tokenizer, model }, texts, { count, branches }),
    );
    const goesOn = (): boolean => {
      this.expectModels();
      return !this.interrupt;
    };
    try {
      const { dtype } = model;
      const embeds = await this.withModels(["prior"], () =>
        drawImageEmbeds({ ...run, device, texts: read, dtype, goesOn }, options),
      );
      if (dtype !== "float16" || run.prior.dtype !== "float16") return embeds;
      const half = cast(embeds, "float16");
      embeds.dispose();
      return half;
    } finally {
      disposeTexts(read);
    }
  }
}
