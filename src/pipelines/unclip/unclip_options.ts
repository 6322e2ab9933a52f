/** What unCLIP's pipelines are made of and called with. */
import type { CLIPTextModelWithProjection } from "../../nn/clip/clip_text_model.js";
import type { CLIPVisionModelWithProjection } from "../../nn/clip/clip_vision_model.js";
import type { PriorTransformer } from "../../nn/unclip/prior_transformer.js";
import type { StableUnCLIPImageNormalizer } from "../../nn/unclip/image_normalizer.js";
import type { CLIPTokenizer } from "../../loader/tokenizer/clip_tokenizer.js";
import type { Scheduler } from "../../schedulers/index.js";
import type { Tensor } from "../../tensor/tensor.js";
import type { OptionTable } from "../call/call_options.js";
import { CALL_OPTIONS } from "../call/check_inputs.js";
import type { CLIPImageProcessor } from "../images/clip_image_processor.js";
import type { OneEncoderComponents } from "../stable_diffusion/one_encoder_diffusion.js";
import type { LegacyCallback, Prompt, StableDiffusionOptions } from "../stable_diffusion/stable_diffusion_options.js";

/** Parts by their names in model_index.json, null for one that is left out. */
export type UnCLIPComponents = OneEncoderComponents & {
  image_normalizer: StableUnCLIPImageNormalizer | null;
  /** Adds noise to embeddings of pictures: a DDPMScheduler. */
  image_noising_scheduler: Scheduler | null;
};

/** Those of StableUnCLIPImg2ImgPipeline. */
// A type, not an interface: code for any class goes through components by name.
export type UnCLIPImg2ImgComponents = UnCLIPComponents & {
  feature_extractor: CLIPImageProcessor | null;
  image_encoder: CLIPVisionModelWithProjection | null;
};

/** Those of StableUnCLIPPipeline. */
export type UnCLIPTextComponents = UnCLIPComponents & {
  prior_tokenizer: CLIPTokenizer | null;
  prior_text_encoder: CLIPTextModelWithProjection | null;
  /** Guesses embeddings of pictures that go with prompts. */
  prior: PriorTransformer | null;
  /** Of the prior's steps. */
  prior_scheduler: Scheduler | null;
};

/** Options that both pipelines take, as other pipelines of prompts do, and how far from the picture they draw. */
export interface UnCLIPSources extends Pick<
  StableDiffusionOptions,
  | "height"
  | "width"
  | "negativePrompt"
  | "numImagesPerPrompt"
  | "eta"
  | "generator"
  | "negativePromptEmbeds"
  | "outputType"
  | "crossAttentionKwargs"
  | "signal"
> {
  /** Default 20. Some schedulers call the model more often. */
  numInferenceSteps?: number;
  /** Default 10; up to 1 means no guidance. */
  guidanceScale?: number;
  /**
   * Noise that the picture's embedding gets, the more the less the result keeps to it: a whole number from 0 (the default) up to, but
   * without, the num_train_timesteps of image_noising_scheduler.
   */
  noiseLevel?: number;
  /** Called after every `callbackSteps` model calls. */
  callback?: LegacyCallback | null;
  /** Default 1. */
  callbackSteps?: number;
}

const { height, width, negativePrompt, numImagesPerPrompt, eta, generator, latents, promptEmbeds } = CALL_OPTIONS;
const { negativePromptEmbeds, outputType, crossAttentionKwargs, signal, clipSkip } = CALL_OPTIONS;
const UNCLIP_SOURCES: OptionTable<Required<UnCLIPSources>> = {
  ...{ height, width, negativePrompt, numImagesPerPrompt, eta, generator },
  ...{ negativePromptEmbeds, outputType, crossAttentionKwargs, signal },
  ...{ numInferenceSteps: false, guidanceScale: false, noiseLevel: false, callback: true, callbackSteps: false },
};

/** What diffusers' unCLIP pipelines take by default. */
export const UNCLIP_DEFAULTS = { numInferenceSteps: 20, guidanceScale: 10 };

/** Arguments of a call; names and defaults as diffusers' StableUnCLIPImg2ImgPipeline.__call__, whose clip_skip changes nothing. */
export interface UnCLIPImg2ImgOptions extends UnCLIPSources {
  /** One text or a list. Default "", for each of a list of pictures. */
  prompt?: Prompt;
  /** Encoded prompts [batch, tokens, width] instead of texts. Not disposed. */
  promptEmbeds?: Tensor | null;
  /** What the image encoder says of pictures, [pictures, width], instead of them: one for each prompt. Not disposed. */
  imageEmbeds?: Tensor | null;
  /**
   * Latents [batch, 4, height / vaeScaleFactor, width / vaeScaleFactor] to begin with as they are: unlike other pipelines, this one
   * multiplies them by nothing, as in diffusers. Not disposed.
   */
  latents?: Tensor | null;
}

export const UNCLIP_IMG2IMG_OPTIONS: OptionTable<Required<UnCLIPImg2ImgOptions>> = {
  ...UNCLIP_SOURCES,
  ...{ prompt: true, promptEmbeds, imageEmbeds: true, latents },
};

/** Arguments of a call; names and defaults as diffusers' StableUnCLIPPipeline.__call__, whose prompt_embeds the prior cannot read. */
export interface UnCLIPOptions extends UnCLIPSources, Pick<StableDiffusionOptions, "latents" | "clipSkip"> {
  /** Steps of the prior. Default 25. */
  priorNumInferenceSteps?: number;
  /** How closely the prior keeps to the prompt. Default 4; up to 1 means no guidance. */
  priorGuidanceScale?: number;
  /** Noise [batch, embedding_dim] that the prior begins with, instead of drawn noise. Not disposed. */
  priorLatents?: Tensor | null;
}

export const UNCLIP_OPTIONS: OptionTable<Required<UnCLIPOptions>> = {
  ...UNCLIP_SOURCES,
  ...{ latents, clipSkip, priorNumInferenceSteps: false, priorGuidanceScale: false, priorLatents: true },
};
