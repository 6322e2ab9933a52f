/** AutoencoderKL, Stable Diffusion's VAE, diffusers/models/autoencoders/autoencoder_kl.py and vae.py. */
import { cast, toNCHW, toNHWC } from "../tensor/ops/copy.js";
import type { Tensor } from "../tensor/tensor.js";
import { anything, isBoolean, isCount, isNumber, listOf, nullOr, oneOf, type ConfigSchema } from "./config.js";
import { DiagonalGaussian } from "./diagonal_gaussian.js";
import { Conv2d, sequence } from "./layers.js";
import { PretrainedModel } from "./pretrained.js";
import { Decoder, Encoder, type VAEConfig } from "./vae.js";

const schema: ConfigSchema = {
  name: "AutoencoderKL",
  defaults: {
    in_channels: 3,
    out_channels: 3,
    down_block_types: ["DownEncoderBlock2D"],
    up_block_types: ["UpDecoderBlock2D"],
    block_out_channels: [64],
    layers_per_block: 1,
    act_fn: "silu",
    latent_channels: 4,
    norm_num_groups: 32,
    sample_size: 32,
    scaling_factor: 0.18215,
    shift_factor: null,
    latents_mean: null,
    latents_std: null,
    force_upcast: true,
    use_quant_conv: true,
    use_post_quant_conv: true,
    mid_block_add_attention: true,
  },
  rules: {
    in_channels: isCount,
    out_channels: isCount,
    down_block_types: listOf(oneOf("DownEncoderBlock2D")),
    up_block_types: listOf(oneOf("UpDecoderBlock2D")),
    block_out_channels: listOf(isCount),
    layers_per_block: isCount,
    latent_channels: isCount,
    norm_num_groups: isCount,
    sample_size: anything, // only a hint for tiling
    scaling_factor: isNumber,
    shift_factor: nullOr(isNumber),
    force_upcast: isBoolean, // concerns SDXL's float16 weights; sums are in float32 here always
    use_quant_conv: isBoolean,
    use_post_quant_conv: isBoolean,
    mid_block_add_attention: isBoolean,
  },
};

export class AutoencoderKL extends PretrainedModel<VAEConfig> {
  static readonly className = "AutoencoderKL";
  readonly encoder: Encoder;
  readonly decoder: Decoder;
  readonly quant_conv: Conv2d | null;
  readonly post_quant_conv: Conv2d | null;

  constructor(given: Readonly<Record<string, unknown>> = {}) {
    super(schema, given);
    const { latent_channels: latent, block_out_channels, down_block_types, up_block_types } = this.config;
    for (const [key, list] of Object.entries({ down_block_types, up_block_types }))
      if (list.length !== block_out_channels.length)
        throw new TypeError(
          `AutoencoderKL: config ${key} needs ${block_out_channels.length} entries, one per block_out_channels, got ${list.length}`,
        );
    this.encoder = new Encoder(this.config);
    this.decoder = new Decoder(this.config);
    this.quant_conv = this.config.use_quant_conv ? new Conv2d(2 * latent, 2 * latent, { kernel: 1 }) : null;
    this.post_quant_conv = this.config.use_post_quant_conv ? new Conv2d(latent, latent, { kernel: 1 }) : null;
  }

  /** Pixels per latent along each side. */
  get scaleFactor(): number {
    return 2 ** (this.config.block_out_channels.length - 1);
  }

  /**
   * The distribution of an image's latents (not yet multiplied by scaling_factor).
   * @param x [batch, in_channels, height, width] in [-1, 1]
   */
  encode(x: Tensor): { latentDist: DiagonalGaussian } {
    this.#check("encode", x, this.config.in_channels);
    const { quant_conv: quant } = this;
    const moments = x.device.scope(() =>
      this.#run(x, (h) =>
        sequence(h, [(l) => this.encoder.forward(l), ...(quant ? [(l: Tensor) => quant.forward(l)] : [])]),
      ),
    );
    return { latentDist: new DiagonalGaussian(moments) };
  }

  /**
   * The image of latents (already divided by scaling_factor).
   * @param z [batch, latent_channels, height, width]
   * @returns sample [batch, out_channels, height * scaleFactor, width * scaleFactor], about [-1, 1]
   */
  decode(z: Tensor): { sample: Tensor } {
    this.#check("decode", z, this.config.latent_channels);
    return z.device.scope(() => {
      const { post_quant_conv: post } = this;
      return {
        sample: this.#run(z, (h) =>
          sequence(h, [...(post ? [(l: Tensor) => post.forward(l)] : []), (l) => this.decoder.forward(l)]),
        ),
      };
    });
  }

  /** NCHW in the caller's dtype to NHWC in the model's, through `work`, and back. */
  #run(x: Tensor, work: (x: Tensor) => Tensor): Tensor {
    const h = toNHWC(x);
    const y = toNCHW(work(h.dtype === this.dtype ? h : cast(h, this.dtype)));
    return y.dtype === x.dtype ? y : cast(y, x.dtype);
  }

  #check(what: string, x: Tensor, channels: number): void {
    if (x.shape.length !== 4 || x.shape[1] !== channels)
      throw new RangeError(
        `AutoencoderKL.${what}: takes [batch, ${channels}, height, width], got [${x.shape.join(", ")}]`,
      );
  }
}
