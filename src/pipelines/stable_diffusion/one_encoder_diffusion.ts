/** The models of a pipeline with one text encoder. */
import type { CLIPTokenizer } from "../../loader/tokenizer/clip_tokenizer.js";
import { CLIPTextModel } from "../../nn/clip/clip_text_model.js";
import { UNet2DConditionModel } from "../../nn/unet/unet_2d_condition.js";
import { AutoencoderKL } from "../../nn/vae/autoencoder_kl.js";
import type { Scheduler } from "../../schedulers/index.js";
import { LatentDiffusion } from "./latent_diffusion.js";
import type { StableDiffusionComponents } from "./stable_diffusion_options.js";

/** Parts by their names in model_index.json, null for one that is left out. */
export type OneEncoderComponents = Pick<
  StableDiffusionComponents,
  "vae" | "text_encoder" | "tokenizer" | "unet" | "scheduler"
>;

export abstract class OneEncoderDiffusion extends LatentDiffusion {
  static override readonly componentNames = ["vae", "text_encoder", "tokenizer", "unet", "scheduler"];
  static override readonly componentClasses = {
    vae: AutoencoderKL,
    text_encoder: CLIPTextModel,
    unet: UNet2DConditionModel,
  };
  text_encoder: CLIPTextModel;
  tokenizer: CLIPTokenizer;
  override unet: UNet2DConditionModel;
  scheduler: Scheduler;

  constructor(components: OneEncoderComponents) {
    super();
    this.expectComponents(components);
    this.vae = components.vae as AutoencoderKL;
    this.text_encoder = components.text_encoder as CLIPTextModel;
    this.tokenizer = components.tokenizer as CLIPTokenizer;
    this.unet = components.unet as UNet2DConditionModel;
    this.scheduler = components.scheduler as Scheduler;
  }
}
