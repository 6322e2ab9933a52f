/** What the pipelines of Stable Diffusion hand on to their models, diffusers' StableDiffusionMixin. */
import type { FreeUFactors } from "../../nn/unet/freeu.js";
import { UNet2DConditionModel } from "../../nn/unet/unet_2d_condition.js";
import { AutoencoderKL } from "../../nn/vae/autoencoder_kl.js";
import { AutoencoderTiny } from "../../nn/vae/autoencoder_tiny.js";
import { DiffusionPipeline } from "../diffusion_pipeline.js";
import { needComponent } from "../loading/needed_components.js";

const VAE = { classes: [AutoencoderKL, AutoencoderTiny], purpose: "for its tiles and slices" };
const UNET = { classes: [UNet2DConditionModel], purpose: "for using FreeU" };

/** All methods throw a TypeError where the model is missing. */
export abstract class StableDiffusionMixin extends DiffusionPipeline {
  abstract vae: AutoencoderKL;
  abstract unet: UNet2DConditionModel;

  /** Large pictures are decoded in tiles, see AutoencoderKL.enableTiling(). */
  enableVaeTiling(): void {
    this.#vae.enableTiling();
  }

  disableVaeTiling(): void {
    this.#vae.disableTiling();
  }

  /** The pictures of a batch are decoded one after another. */
  enableVaeSlicing(): void {
    this.#vae.enableSlicing();
  }

  disableVaeSlicing(): void {
    this.#vae.disableSlicing();
  }

  /** FreeU, see UNet2DConditionModel.enableFreeu(). */
  enableFreeu(factors: FreeUFactors): void {
    this.#unet.enableFreeu(factors);
  }

  disableFreeu(): void {
    this.#unet.disableFreeu();
  }

  /**
   * Python code may call it, and unfuseQkvProjections(): nothing changes, as the queries, keys and values of self-attention, and the
   * keys and values of cross-attention, are one product always.
   */
  fuseQkvProjections(_unet = true, _vae = true): void {}

  unfuseQkvProjections(_unet = true, _vae = true): void {}

  get #vae(): AutoencoderKL {
    needComponent(this.className, "vae", this.vae, VAE);
    return this.vae;
  }

  get #unet(): UNet2DConditionModel {
    needComponent(this.className, "unet", this.unet, UNET);
    return this.unet;
  }
}
