/** What upscalers are made of and called with. */
import type { Scheduler } from "../../schedulers/index.js";
import type { OptionTable } from "../call/call_options.js";
import { CALL_OPTIONS } from "../call/check_inputs.js";
import type { CLIPImageProcessor } from "../images/clip_image_processor.js";
import type { ImageInput } from "../images/image_processor.js";
import type { OneEncoderComponents } from "../stable_diffusion/one_encoder_diffusion.js";
import type {
  EncodePromptOptions,
  LegacyCallback,
  StableDiffusionOptions,
} from "../stable_diffusion/stable_diffusion_options.js";
import type { XLOptions } from "../stable_diffusion_xl/stable_diffusion_xl_options.js";

/** Options that the upscalers take as other pipelines of prompts do, and the picture. */
interface UpscaleSources extends Pick<
  StableDiffusionOptions,
  "negativePrompt" | "generator" | "latents" | "promptEmbeds" | "negativePromptEmbeds" | "outputType" | "signal"
> {
  /** Default 75. Some schedulers call the model more often. */
  numInferenceSteps?: number;
  /** Default 9; up to 1 means no guidance. */
  guidanceScale?: number;
  /** Called after every `callbackSteps` model calls, of those that end a step. */
  callback?: LegacyCallback | null;
  /** Default 1. */
  callbackSteps?: number;
}

const { negativePrompt, generator, latents, promptEmbeds, negativePromptEmbeds, outputType, signal } = CALL_OPTIONS;
const UPSCALE_SOURCES: OptionTable<Required<UpscaleSources>> = {
  ...{ negativePrompt, generator, latents, promptEmbeds, negativePromptEmbeds, outputType, signal },
  numInferenceSteps: false,
  guidanceScale: false,
  callback: true,
  callbackSteps: false,
};

/** What diffusers' upscalers take by default. */
export const UPSCALE_DEFAULTS = { numInferenceSteps: 75, guidanceScale: 9 };

/** Parts by their names in model_index.json, null for one that is left out, and settings that it has besides. */
// A type, not an interface: code for any class goes through components by name.
export type UpscaleComponents = OneEncoderComponents & {
  /** Adds noise to the picture: a DDPMScheduler. */
  low_res_scheduler: Scheduler | null;
  /** DeepFloyd IF's, which this version does not have. */
  safety_checker?: null;
  feature_extractor?: CLIPImageProcessor | null;
  /** As the safety checker. */
  watermarker?: null;
  /** The highest noiseLevel of a call. Default 350. */
  max_noise_level?: number;
};

/** Arguments of a call; names and defaults as diffusers' StableDiffusionUpscalePipeline.__call__. */
export interface UpscaleOptions
  extends
    UpscaleSources,
    Pick<StableDiffusionOptions, "numImagesPerPrompt" | "eta" | "clipSkip" | "crossAttentionKwargs"> {
  /**
   * What to make larger: a picture for each prompt, whose sides are cut down to multiples of vaeScaleFactor. The result's are that
   * factor times as long. Tensors are not disposed.
   */
  image: ImageInput | readonly ImageInput[];
  /** 0 to max_noise_level: noise that the picture gets, the more the less the result keeps to it. Default 20. */
  noiseLevel?: number;
}

const { numImagesPerPrompt, eta, clipSkip, crossAttentionKwargs } = CALL_OPTIONS;
export const UPSCALE_OPTIONS: OptionTable<Required<UpscaleOptions>> = {
  ...UPSCALE_SOURCES,
  ...{ numImagesPerPrompt, eta, clipSkip, crossAttentionKwargs },
  image: false,
  noiseLevel: false,
};

/** Of the text encoder's end token. */
type Pooled = Pick<XLOptions, "pooledPromptEmbeds" | "negativePooledPromptEmbeds">;

/** Arguments of a call; names and defaults as diffusers' StableDiffusionLatentUpscalePipeline.__call__. */
export interface LatentUpscaleOptions extends UpscaleSources, Pooled {
  /**
   * What to make twice as large: for each prompt a picture, whose sides are cut down to multiples of vaeScaleFactor, or latents as
   * `outputType: "latent"` of another pipeline gives them, [batch, 4, height, width]. Tensors are not disposed.
   */
  image: ImageInput | readonly ImageInput[];
}

/** Arguments of encodePrompt besides the prompt. */
export interface PooledPromptOptions
  extends
    Pick<EncodePromptOptions, "doClassifierFreeGuidance" | "negativePrompt" | "promptEmbeds" | "negativePromptEmbeds">,
    Pooled {}

const POOLED = { pooledPromptEmbeds: true, negativePooledPromptEmbeds: true };
export const LATENT_UPSCALE_OPTIONS: OptionTable<Required<LatentUpscaleOptions>> = {
  ...UPSCALE_SOURCES,
  ...POOLED,
  image: false,
};
export const POOLED_PROMPT_OPTIONS: OptionTable<Required<PooledPromptOptions>> = {
  ...POOLED,
  doClassifierFreeGuidance: false,
  negativePrompt: true,
  promptEmbeds: true,
  negativePromptEmbeds: true,
};
