import { throwIfAborted } from "../../arguments/signal.js";
import { notYet } from "../../nn/not_yet.js";
import type { AutoencoderKL } from "../../nn/vae/autoencoder_kl.js";
import { checkGeneratorTypes } from "../../schedulers/noise.js";
import type { Tensor } from "../../tensor/tensor.js";
import { takeOptions } from "../call/call_options.js";
import { checkPrompts, checkTensor } from "../call/check_inputs.js";
import type { PromptEmbeds } from "../call/encode_prompt.js";
import { soleGenerator } from "../call/initial_noise.js";
import { prepareTimesteps } from "../call/prepare.js";
import { checkImages } from "../images/image_processor.js";
import type { RawImage } from "../images/raw_image.js";
import type { CallInput } from "../stable_diffusion/latent_diffusion.js";
import { OneEncoderDiffusion } from "../stable_diffusion/one_encoder_diffusion.js";
import { unetSampleSize } from "../stable_diffusion/stable_diffusion_config.js";
import type { Prompt } from "../stable_diffusion/stable_diffusion_options.js";
import { checkPromptsXL, type XLCallOptions } from "../stable_diffusion_xl/check_inputs_xl.js";
import type { ImagePipelineOutput } from "../unconditional/unconditional.js";
import { encodePromptPooled, timestepCondition, type PooledEmbeds } from "./encode_prompt_pooled.js";
import { latentUpscaleLatents } from "./latent_upscale_latents.js";
import { Preconditioning } from "./preconditioning.js";
import { expectPicturePerPrompt } from "./upscale_call.js";
import {
  LATENT_UPSCALE_OPTIONS,
  POOLED_PROMPT_OPTIONS,
  UPSCALE_DEFAULTS,
  type LatentUpscaleOptions,
  type PooledPromptOptions,
} from "./upscale_options.js";

/** Of the picture's latents, as diffusers knows them from pictures. */
const IMAGE_CHANNELS = 4;
// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- Callable gives the call
export interface StableDiffusionLatentUpscalePipeline {
  (
    prompt: Prompt,
    options: LatentUpscaleOptions & { outputType: "np" | "pt" | "latent" },
  ): Promise<ImagePipelineOutput<Tensor>>;
  (prompt: Prompt, options: LatentUpscaleOptions): Promise<ImagePipelineOutput>;
}

/**
 * Pictures, or latents of another pipeline, twice as large (stabilityai/sd-x2-latent-upscaler), by a UNet that sees their latents beside
 * its own. diffusers: pipelines/stable_diffusion/pipeline_stable_diffusion_latent_upscale.py
 */
// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- see above
export class StableDiffusionLatentUpscalePipeline extends OneEncoderDiffusion {
  static override readonly className = "StableDiffusionLatentUpscalePipeline";
  static override readonly callInputs: readonly CallInput[] = ["image"];
  feature_extractor: null = null;
  image_encoder: null = null;
  override guidanceScale = UPSCALE_DEFAULTS.guidanceScale;

  /** The UNet takes noise levels and the prompt's end token there. */
  override get readsGuidance(): boolean {
    return false;
  }

  /** Half of what is drawn. */
  override imageSize(given: { height?: number; width?: number }): { height: number; width: number } {
    const [height, width] = unetSampleSize(this.unet).map((n) => (n * this.vaeScaleFactor) / 2);
    return { height: given.height ?? height, width: given.width ?? width };
  }

  /**
   * Draws pictures of pictures, or of latents. It takes turns as a StableDiffusionPipeline does.
   * @param prompt one text or a list; null where promptEmbeds are given
   * @returns images: RawImage[] by default, a Tensor for the other output types (the caller disposes it)
   * @throws RangeError, TypeError for wrong arguments; the signal's reason when aborted
   * @example
   * const { images: image } = await pipeline(prompt, { outputType: "latent" });
   * const { images } = await upscaler(prompt, { image, numInferenceSteps: 20, guidanceScale: 0 });
   */
  override async call(
    prompt: Prompt = null,
    given?: LatentUpscaleOptions,
  ): Promise<ImagePipelineOutput<RawImage[] | Tensor>> {
    const { className } = this;
    const { image, ...taken } = takeOptions(className, given, LATENT_UPSCALE_OPTIONS, "warn");
    const options = { ...UPSCALE_DEFAULTS, ...taken, generator: soleGenerator(taken.generator) };
    const run = this.prepareRun(options);
    const { device, vae, vaeScaleFactor } = this;
    const latentChannels = this.#latentChannels();
    checkPrompts(prompt, options, device);
    checkPromptsXL(prompt, options, device);
    checkTensor("latents", options.latents, ["batch", "channels", "height", "width"], device);
    checkGeneratorTypes(options.generator);
    checkImages(image, device);
    expectPicturePerPrompt(image, prompt, options);
    throwIfAborted(options.signal);
    const { scheduler } = run;
    const encoder = { className, device, vae, vaeScaleFactor, latentChannels };
    const start = {
      prompts: () => this.#promptEmbeds(prompt, options),
      timesteps: () => prepareTimesteps(scheduler, options),
      uses: ["vae"],
      latents: async (batch: number, dtype: Tensor["dtype"], { length }: readonly number[]) => {
        const preconditioning = new Preconditioning(className, scheduler, length);
        const wanted = { ...options, batch, dtype, scheduler, guided: this.doClassifierFreeGuidance };
        return { ...(await latentUpscaleLatents(encoder, image, wanted)), preconditioning };
      },
    };
    const { images } = await this.run(run, start, options);
    return { images };
  }

  /** @throws RangeError for a UNet of other channels than those of both latents */
  #latentChannels(): number {
    const { in_channels: takes, out_channels: gives } = this.unet.config;
    const latentChannels = (this.vae as AutoencoderKL | null)?.config.latent_channels ?? takes - IMAGE_CHANNELS;
    if (takes === latentChannels + IMAGE_CHANNELS && gives === latentChannels + 1) return latentChannels;
    throw new RangeError(
      `${this.className}: the UNet must have ${latentChannels + IMAGE_CHANNELS} input channels, ${latentChannels} of its latents and ` +
        `${IMAGE_CHANNELS} of the picture's, and give ${latentChannels + 1}, got in_channels = ${takes} and out_channels = ${gives}`,
    );
  }

  /** The prompts, and what the UNet is told of them beside the timestep. */
  async #promptEmbeds(prompt: Prompt, options: XLCallOptions): Promise<PromptEmbeds> {
    const { className, device, unet, doClassifierFreeGuidance: guided } = this;
    // As in diffusers, a scale of 0 is without prompts; those of one up to 1 count.
    const isBlank = options.guidanceScale === 0 && prompt !== null;
    const blank = typeof prompt === "string" ? "" : (prompt?.map(() => "") ?? null);
    const encoded = await this.#encode(isBlank ? blank : prompt, { ...options, guided });
    const { positive, negative, pooled, negativePooled } = encoded;
    try {
      const timestepCond = device.scope(() => timestepCondition(className, unet, encoded));
      for (const tensor of [pooled, negativePooled]) tensor?.dispose();
      return { positive, negative, timestepCond };
    } catch (error) {
      for (const tensor of [positive, negative, pooled, negativePooled]) tensor?.dispose();
      throw error;
    }
  }

  #encode(prompt: Prompt, options: XLCallOptions & { guided: boolean }): Promise<PooledEmbeds> {
    return this.withModels(["text_encoder"], () => encodePromptPooled(this, prompt, options));
  }

  /**
   * What texts are for the UNet: promptEmbeds, negativePromptEmbeds, pooledPromptEmbeds and negativePooledPromptEmbeds of a call.
   * @returns [batch, tokens, width] twice and [batch, width] twice; the negative ones are null without guidance. The caller disposes them.
   * @throws RangeError, TypeError for wrong arguments
   */
  async encodePrompt(
    prompt: Prompt,
    given?: PooledPromptOptions | null,
  ): Promise<
    [promptEmbeds: Tensor, negativePromptEmbeds: Tensor | null, pooled: Tensor, negativePooled: Tensor | null]
  > {
    const options = takeOptions(`${this.className}.encodePrompt`, given, POOLED_PROMPT_OPTIONS, "refuse");
    const { doClassifierFreeGuidance: guided = true } = options;
    this.expectModels();
    checkPrompts(prompt, options, this.device);
    checkPromptsXL(prompt, options, this.device);
    const { positive, negative, pooled, negativePooled } = await this.#encode(prompt, { ...options, guided });
    await this.device.flush();
    return [positive, negative, pooled, negativePooled];
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
}
