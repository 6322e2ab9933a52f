import type { CLIPTokenizer } from "../../loader/tokenizer/clip_tokenizer.js";
import type { CLIPTextModel } from "../../nn/clip/clip_text_model.js";
import type { CLIPVisionModelWithProjection } from "../../nn/clip/clip_vision_model.js";
import type { StableDiffusionSafetyChecker } from "../../nn/clip/safety_checker.js";
import type { UNet2DConditionModel } from "../../nn/unet/unet_2d_condition.js";
import type { AutoencoderKL } from "../../nn/vae/autoencoder_kl.js";
import type { AutoencoderTiny } from "../../nn/vae/autoencoder_tiny.js";
import type { Scheduler, StepOptions } from "../../schedulers/index.js";
import type { Tensor } from "../../tensor/tensor.js";
import type { ImagePrompts } from "../adapters/image_prompts.js";
import type { StableDiffusionControlNetPipeline } from "../controlnet/stable_diffusion_controlnet.js";
import type { StableDiffusionControlNetImg2ImgPipeline } from "../controlnet/stable_diffusion_controlnet_img2img.js";
import type { StableDiffusionControlNetInpaintPipeline } from "../controlnet/stable_diffusion_controlnet_inpaint.js";
import type { StableDiffusionXLControlNetPipeline } from "../controlnet/stable_diffusion_xl_controlnet.js";
import type { StableDiffusionXLControlNetImg2ImgPipeline } from "../controlnet/stable_diffusion_xl_controlnet_img2img.js";
import type { StableDiffusionXLControlNetInpaintPipeline } from "../controlnet/stable_diffusion_xl_controlnet_inpaint.js";
import type { StableDiffusionXLControlNetUnionPipeline } from "../controlnet/stable_diffusion_xl_controlnet_union.js";
import type { StableDiffusionXLControlNetUnionImg2ImgPipeline } from "../controlnet/stable_diffusion_xl_controlnet_union_img2img.js";
import type { StableDiffusionXLControlNetUnionInpaintPipeline } from "../controlnet/stable_diffusion_xl_controlnet_union_inpaint.js";
import type { StableDiffusionDepth2ImgPipeline } from "../depth2img/stable_diffusion_depth2img.js";
import type { CLIPImageProcessor } from "../images/clip_image_processor.js";
import type { RawImage } from "../images/raw_image.js";
import type { StableDiffusionInstructPix2PixPipeline } from "../instruct_pix2pix/stable_diffusion_instruct_pix2pix.js";
import type { StableDiffusionXLInstructPix2PixPipeline } from "../instruct_pix2pix/stable_diffusion_xl_instruct_pix2pix.js";
import type { LatentConsistencyModelPipeline } from "../latent_consistency/latent_consistency.js";
import type { LatentConsistencyModelImg2ImgPipeline } from "../latent_consistency/latent_consistency_img2img.js";
import type { StableDiffusionXLPipeline } from "../stable_diffusion_xl/stable_diffusion_xl.js";
import type { StableDiffusionXLImg2ImgPipeline } from "../stable_diffusion_xl/stable_diffusion_xl_img2img.js";
import type { StableDiffusionXLInpaintPipeline } from "../stable_diffusion_xl/stable_diffusion_xl_inpaint.js";
import type { StableDiffusionAdapterPipeline } from "../t2i_adapter/stable_diffusion_adapter.js";
import type { StableDiffusionXLAdapterPipeline } from "../t2i_adapter/stable_diffusion_xl_adapter.js";
import type { StableDiffusionPipeline } from "./stable_diffusion.js";
import type { StableDiffusionImg2ImgPipeline } from "./stable_diffusion_img2img.js";
import type { StableDiffusionInpaintPipeline } from "./stable_diffusion_inpaint.js";

/** One text or a list; null where promptEmbeds are given. */
export type Prompt = string | readonly string[] | null;

/** Parts by their names in model_index.json, null for one that is left out, and settings that it has besides. */
// A type, not an interface: code for any class goes through components by name.
export type StableDiffusionComponents = {
  vae: AutoencoderKL | AutoencoderTiny | null;
  text_encoder: CLIPTextModel | null;
  tokenizer: CLIPTokenizer | null;
  unet: UNet2DConditionModel | null;
  /** Any scheduler. */
  scheduler: Scheduler | null;
  /** Looks at each picture that is drawn, and has some be black; needs a feature extractor. */
  safety_checker?: StableDiffusionSafetyChecker | null;
  feature_extractor?: CLIPImageProcessor | null;
  /** For pictures as prompts, see loadIpAdapter(). */
  image_encoder?: CLIPVisionModelWithProjection | null;
  /** Warns where there is no safety checker. Default true. */
  requires_safety_checker?: boolean;
};

/**
 * Tensors handed to callbackOnStepEnd; returned ones replace the pipeline's and then belong to it. With guidance
 * prompt_embeds holds the negative prompts' rows before the prompts', as in diffusers, and is all that the UNet reads: a
 * callback that ends the guidance (`pipeline.guidanceScale = 0`) returns the prompts' rows alone. Without guidance
 * negative_prompt_embeds is null. Inpainting has a mask [rows, 1, height, width] and masked_image_latents [rows, 4, height, width], too,
 * with guidance twice as many rows as pictures; the latter is null where the UNet does not take it. Stable Diffusion XL has
 * add_text_embeds [rows, width] and add_time_ids [rows, 6] instead of negative_prompt_embeds. InstructPix2Pix has no
 * negative_prompt_embeds, and image_latents [rows, 4, height, width]; with guidance the rows of its tensors are three times as many: first
 * those of prompt and picture, which are all that a callback that ends the guidance has to return. Depth to image has depth_mask
 * [rows, 1, height, width], with guidance twice as many rows as pictures. Latent consistency models have none of
 * these, but denoised, which is drawn after the last step, and w_embedding [rows, time_cond_proj_dim], the guidance scale as the UNet takes it.
 */
export type CallbackTensors = Partial<
  Record<
    | "latents"
    | "prompt_embeds"
    | "mask"
    | "image_latents"
    | "depth_mask"
    | "add_text_embeds"
    | "add_time_ids"
    | "denoised"
    | "w_embedding",
    Tensor
  >
> & {
  negative_prompt_embeds?: Tensor | null;
  masked_image_latents?: Tensor | null;
};

/**
 * Those of a pipeline with a ControlNet, which has its picture, too: [rows, 3, height, width] in [0, 1], with guidance twice as many rows
 * as pictures are drawn, but in guess mode; of several ControlNets, and of unions of them, a list. It is `image`, or `control_image` where the call has a
 * `controlImage`.
 */
export type ControlNetCallbackTensors = CallbackTensors &
  Partial<Record<"image" | "control_image", Tensor | readonly Tensor[]>>;

/** The pipelines that take prompts. */
export type PromptPipeline =
  | StableDiffusionPipeline
  | StableDiffusionImg2ImgPipeline
  | StableDiffusionInpaintPipeline
  | StableDiffusionDepth2ImgPipeline
  | StableDiffusionInstructPix2PixPipeline
  | LatentConsistencyModelPipeline
  | LatentConsistencyModelImg2ImgPipeline
  | StableDiffusionControlNetPipeline
  | StableDiffusionControlNetImg2ImgPipeline
  | StableDiffusionControlNetInpaintPipeline
  | StableDiffusionAdapterPipeline
  | StableDiffusionXLPipeline
  | StableDiffusionXLImg2ImgPipeline
  | StableDiffusionXLInpaintPipeline
  | StableDiffusionXLInstructPix2PixPipeline
  | StableDiffusionXLControlNetPipeline
  | StableDiffusionXLControlNetImg2ImgPipeline
  | StableDiffusionXLControlNetInpaintPipeline
  | StableDiffusionXLAdapterPipeline
  | StableDiffusionXLControlNetUnionPipeline
  | StableDiffusionXLControlNetUnionImg2ImgPipeline
  | StableDiffusionXLControlNetUnionInpaintPipeline;

/** Called after each step. `step` counts model calls from 0. */
// A method's type, which a function that names the class of its pipeline has, too.
export type CallbackOnStepEnd<Tensors extends CallbackTensors = CallbackTensors> = {
  call(
    pipeline: PromptPipeline,
    step: number,
    timestep: number,
    tensors: Tensors,
  ): Tensors | void | Promise<Tensors | void>;
}["call"];

/** Of a call of a pipeline with a ControlNet. */
export interface ControlNetCallbackOptions {
  /** Called after each step, or an object that knows which tensors it wants: SDCFGCutoffCallback and the like. */
  callbackOnStepEnd?: CallbackOnStepEnd<ControlNetCallbackTensors> | null;
  /** Which tensors the callback gets. Default ["latents"]; a PipelineCallback says so itself. */
  callbackOnStepEndTensorInputs?: readonly (keyof ControlNetCallbackTensors)[] | null;
}

/** What `callback` was before; `step` counts steps of the schedule from 0, where a scheduler's step may be several model calls. */
export type LegacyCallback = (step: number, timestep: number, latents: Tensor) => unknown;

/** Arguments of a call; names and defaults as diffusers' StableDiffusionPipeline.__call__. */
export interface StableDiffusionOptions {
  /** What guidance leads away from: one text for all prompts or one for each. Default "". Ignored without guidance. */
  negativePrompt?: string | readonly string[] | null;
  /** Default 50. Some schedulers call the model more often (PNDM once more). */
  numInferenceSteps?: number;
  /** Default 7.5; up to 1 means no guidance. */
  guidanceScale?: number;
  /** Pixels, multiples of 8; by default the size that the model was trained for. */
  height?: number | null;
  width?: number | null;
  /** Default 1. */
  numImagesPerPrompt?: number;
  /** DDIM's η. Default 0. */
  eta?: number;
  /** The seed's random numbers; a list has one generator per picture. By default unrepeatable noise. */
  generator?: StepOptions["generator"];
  /** Initial noise [batch, channels, height / vaeScaleFactor, width / vaeScaleFactor] instead of drawn noise. Not disposed. */
  latents?: Tensor | null;
  /** Encoded prompts [batch, tokens, width] instead of texts. Not disposed. */
  promptEmbeds?: Tensor | null;
  negativePromptEmbeds?: Tensor | null;
  /** "image" (RawImage, the default), "np" (Tensor NHWC in [0, 1]), "pt" (Tensor NCHW in [0, 1]) or "latent" (Tensor NCHW). */
  outputType?: "image" | "pil" | "np" | "pt" | "latent";
  /** Called after each step, or an object that knows which tensors it wants: SDCFGCutoffCallback and the like. */
  callbackOnStepEnd?: CallbackOnStepEnd | null;
  /** Which tensors the callback gets. Default ["latents"]; a PipelineCallback says so itself. */
  callbackOnStepEndTensorInputs?: readonly (keyof CallbackTensors)[] | null;
  /** @deprecated use callbackOnStepEnd. Called after every `callbackSteps` model calls, of those that end a step. */
  callback?: LegacyCallback | null;
  /** @deprecated Default 1. */
  callbackSteps?: number | null;
  /** 0 to 1: restores the contrast that strong guidance burns (Lin et al. 2023). Default 0. */
  guidanceRescale?: number;
  /** Layers of the text encoder to leave out, from the end. */
  clipSkip?: number | null;
  /** A schedule of one's own, where the scheduler takes one. */
  timesteps?: readonly number[] | null;
  sigmas?: readonly number[] | null;
  /** scale: times what LoRAs do, in this call. Weights are read again before and after it: for more than one call see setAdapters(). */
  crossAttentionKwargs?: { scale?: number } | null;
  /** What to draw by besides the prompt, see loadIpAdapter(): a picture, or a list of one, or several, for each IP-Adapter. */
  ipAdapterImage?: ImagePrompts | null;
  /**
   * What the image encoder says of the pictures of each IP-Adapter, [1 or batch, pictures, width], or [1 or batch, pictures, tokens, width]; with
   * guidance those of no picture come first, as many (of InstructPix2Pix last, twice as many). Not disposed.
   */
  ipAdapterImageEmbeds?: readonly Tensor[] | null;
  /** Stops within one step and frees everything; the call rejects with the signal's reason. */
  signal?: AbortSignal;
}

/** Arguments of encodePrompt besides the prompt; names as in diffusers, where they follow it in this order. */
export interface EncodePromptOptions extends Pick<
  StableDiffusionOptions,
  "numImagesPerPrompt" | "negativePrompt" | "promptEmbeds" | "negativePromptEmbeds" | "clipSkip"
> {
  /** Whether the negative prompt is encoded, too. Default true. */
  doClassifierFreeGuidance?: boolean;
}

/** What a call of a Stable Diffusion pipeline gives. */
export interface StableDiffusionOutput<Images = RawImage[]> {
  /** RawImage[] by default; a Tensor for other output types, which the caller disposes. */
  images: Images;
  /** By picture, whether the safety checker had it be black; null without a safety checker, and for latents. */
  nsfwContentDetected: boolean[] | null;
}
