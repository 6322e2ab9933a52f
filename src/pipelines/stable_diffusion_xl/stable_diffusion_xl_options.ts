import type { CLIPTokenizer } from "../../loader/tokenizer/clip_tokenizer.js";
import type { CLIPTextModel, CLIPTextModelWithProjection } from "../../nn/clip/clip_text_model.js";
import type { CLIPVisionModelWithProjection } from "../../nn/clip/clip_vision_model.js";
import type { UNet2DConditionModel } from "../../nn/unet/unet_2d_condition.js";
import type { AutoencoderKL } from "../../nn/vae/autoencoder_kl.js";
import type { AutoencoderTiny } from "../../nn/vae/autoencoder_tiny.js";
import type { Scheduler } from "../../schedulers/index.js";
import type { Tensor } from "../../tensor/tensor.js";
import type { InpaintSources } from "../call/inpaint_call.js";
import type { CLIPImageProcessor } from "../images/clip_image_processor.js";
import type { RawImage } from "../images/raw_image.js";
import type { EditSources } from "../instruct_pix2pix/edit_call.js";
import type { Img2ImgOptions } from "../stable_diffusion/stable_diffusion_img2img.js";
import type { EncodePromptOptions, StableDiffusionOptions } from "../stable_diffusion/stable_diffusion_options.js";

/** Parts by their names in model_index.json, null for one that is left out, and settings that it has besides. */
// A type, not an interface: code for any class goes through components by name.
export type StableDiffusionXLComponents = {
  vae: AutoencoderKL | AutoencoderTiny | null;
  /** Without it and its tokenizer the second one reads the prompt alone, as the refiner's does. */
  text_encoder?: CLIPTextModel | null;
  text_encoder_2?: CLIPTextModelWithProjection | null;
  tokenizer?: CLIPTokenizer | null;
  tokenizer_2?: CLIPTokenizer | null;
  unet: UNet2DConditionModel | null;
  /** Any scheduler. */
  scheduler: Scheduler | null;
  /** For pictures as prompts, see loadIpAdapter(). */
  feature_extractor?: CLIPImageProcessor | null;
  image_encoder?: CLIPVisionModelWithProjection | null;
  /** Whether without a negative prompt its embeddings are zeros, not those of an empty text. Default true. */
  force_zeros_for_empty_prompt?: boolean;
  /** Of the pipelines from pictures: whether the UNet takes an aesthetic score, as the refiner's does. Default false. */
  requires_aesthetics_score?: boolean;
  /** Of StableDiffusionXLInstructPix2PixPipeline: whether the UNet was trained with scaled latents of the picture, as CosXL's. Default false. */
  is_cosxl_edit?: boolean;
  /** There is no watermark in this version. */
  add_watermarker?: false | null;
};

type Pair = readonly [number, number];

/** What the encoders of Stable Diffusion XL take besides a prompt. */
interface XLPrompts {
  /** For the second text encoder. Default: the prompt. */
  prompt2?: string | readonly string[] | null;
  /** Default: the negative prompt; without any, and guided, the embeddings are zeros if the model says so. */
  negativePrompt2?: string | readonly string[] | null;
  /** [batch, projection_dim]; goes with promptEmbeds. Not disposed. */
  pooledPromptEmbeds?: Tensor | null;
  negativePooledPromptEmbeds?: Tensor | null;
}

/** Arguments of a call; names and defaults as diffusers' StableDiffusionXLPipeline.__call__, whose guidanceScale is 5. */
export interface XLOptions extends StableDiffusionOptions, XLPrompts {
  /** [height, width] of the picture as if it were made smaller from it. Default: the size that is drawn. */
  originalSize?: Pair | null;
  /** [top, left] of the picture as if it were cut out there. Default [0, 0]. */
  cropsCoordsTopLeft?: Pair;
  /** [height, width]. Default: the size that is drawn. */
  targetSize?: Pair | null;
  /** What guidance leads away from; both sizes together, or those above. */
  negativeOriginalSize?: Pair | null;
  negativeCropsCoordsTopLeft?: Pair;
  negativeTargetSize?: Pair | null;
  /** 0 to 1: ends before this part of the noise is gone, for a refiner that goes on with the latents. */
  denoisingEnd?: number | null;
}

/** What calls that begin with pictures take besides. */
export interface XLPictureOptions {
  /** 0 to 1: how far to go back to noise, which is how much may change. So much of numInferenceSteps is done. */
  strength?: number;
  /**
   * 0 to 1: begins where this part of the noise is gone, without adding any, whatever the strength: for latents as `image` that a
   * pipeline with such a `denoisingEnd` gave.
   */
  denoisingStart?: number | null;
  /** How good the picture is to look, for models that require it. Default 6. */
  aestheticScore?: number;
  /** What guidance leads away from. Default 2.5. */
  negativeAestheticScore?: number;
}

/** Arguments of a call; names and defaults as diffusers' StableDiffusionXLImg2ImgPipeline.__call__: guidanceScale 5, strength 0.3. */
export interface XLImg2ImgOptions
  extends Omit<XLOptions, "height" | "width">, XLPictureOptions, Pick<Img2ImgOptions, "image"> {
  /** Latents to begin with as they are, instead of those of the image with noise. Not disposed. */
  latents?: Tensor | null;
}

/** Arguments of a call; names and defaults as diffusers' StableDiffusionXLInpaintPipeline.__call__: guidanceScale 7.5, strength 0.9999. */
export interface XLInpaintOptions extends XLOptions, XLPictureOptions, InpaintSources {}

/** What a call that edits pictures does not take. */
type NotOfEdits =
  | "negativeOriginalSize"
  | "negativeCropsCoordsTopLeft"
  | "negativeTargetSize"
  | "clipSkip"
  | "timesteps"
  | "sigmas"
  | "ipAdapterImage"
  | "ipAdapterImageEmbeds";

/**
 * Arguments of a call; names and defaults as diffusers' StableDiffusionXLInstructPix2PixPipeline.__call__: numInferenceSteps 100,
 * guidanceScale 5. The picture gets the size that is drawn, by default the model's; sides are cut down to multiples of vaeScaleFactor.
 */
export interface XLInstructPix2PixOptions extends Omit<XLOptions, NotOfEdits>, EditSources {}

/** Arguments of encodePrompt besides the prompt. */
export interface XLEncodePromptOptions extends EncodePromptOptions, XLPrompts {}

/** What a call returns: RawImage[], or a Tensor for the other output types. */
export interface StableDiffusionXLOutput<Images = RawImage[]> {
  images: Images;
}
