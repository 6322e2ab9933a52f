import { inOwnSpelling } from "../../arguments/spelling.js";
import { cast, toNCHW, toNHWC } from "../../tensor/ops/copy.js";
import type { Generator } from "../../tensor/random.js";
import type { Tensor } from "../../tensor/tensor.js";
import { checkImages } from "../check_tensor.js";
import { either, isBoolean, isCount, isNumber, listOf, nullOr, oneOf, type ConfigSchema } from "../config.js";
import { Conv2d, sequence } from "../layers.js";
import { PretrainedModel } from "../weights/pretrained.js";
import { DiagonalGaussian } from "./diagonal_gaussian.js";
import { Decoder, Encoder, type VAEConfig } from "./vae.js";
import { byImages, tiled, type Tiling } from "./vae_tiling.js";

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
    act_fn: oneOf("silu", "swish"),
    latent_channels: isCount,
    norm_num_groups: isCount,
    sample_size: either(isCount, listOf(isCount)), // the size of tiles
    scaling_factor: isNumber,
    shift_factor: nullOr(isNumber),
    // Of latents, by channel: for pipelines, as the factors are.
    latents_mean: nullOr(listOf(isNumber)),
    latents_std: nullOr(listOf(isNumber)),
    force_upcast: isBoolean, // concerns SDXL's float16 weights; sums are in float32 here always
    use_quant_conv: isBoolean,
    use_post_quant_conv: isBoolean,
    mid_block_add_attention: isBoolean,
  },
};

/** Whether AutoencoderKL.forward() goes by the posterior's mode, or draws from it. */
export interface AutoencoderForwardOptions {
  /** Whether latents are drawn from the posterior. Default false: its mode. */
  samplePosterior?: boolean;
  /** The noise for that; a list has one generator per picture. By default unrepeatable. */
  generator?: Generator | readonly Generator[];
}

const FORWARD_OPTIONS: readonly (keyof AutoencoderForwardOptions)[] = ["samplePosterior", "generator"];

/**
 * Stable Diffusion's VAE: encode() makes latents of pictures, decode() pictures of latents. diffusers:
 * models/autoencoders/autoencoder_kl.py
 * @example
 * const vae = await AutoencoderKL.fromPretrained(repo, { subfolder: "vae" });
 * const { sample } = vae.decode(latents); // latents already divided by vae.config.scaling_factor
 */
export class AutoencoderKL extends PretrainedModel<VAEConfig> {
  static readonly className = "AutoencoderKL";
  static readonly defaults = schema.defaults;
  readonly encoder: Encoder;
  readonly decoder: Decoder;
  readonly quant_conv: Conv2d | null;
  readonly post_quant_conv: Conv2d | null;
  /** Side of a tile in pixels and in latents, and the part of it that neighbours share; see enableTiling(). */
  tileSampleMinSize: number;
  tileLatentMinSize: number;
  tileOverlapFactor = 0.25;
  #tiling = false;
  #slicing = false;

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
    this.tileSampleMinSize = [this.config.sample_size].flat()[0];
    this.tileLatentMinSize = Math.floor(this.tileSampleMinSize / this.scaleFactor);
  }

  /** Pixels per latent along each side. */
  get scaleFactor(): number {
    return 2 ** (this.config.block_out_channels.length - 1);
  }

  /** Pictures larger than config sample_size go through in overlapping tiles, which bounds the memory. */
  enableTiling(): void {
    this.#tiling = true;
  }

  /** Ends enableTiling(). */
  disableTiling(): void {
    this.#tiling = false;
  }

  /** The pictures of a batch go through one after another, which bounds the memory; those of 256 x 256 pixels and more always do. */
  enableSlicing(): void {
    this.#slicing = true;
  }

  /** Ends enableSlicing(). */
  disableSlicing(): void {
    this.#slicing = false;
  }

  /** Python code may call it, and unfuseQkvProjections(): nothing changes, as queries, keys and values are one product always. */
  fuseQkvProjections(): void {}

  unfuseQkvProjections(): void {}

  /**
   * The distribution of an image's latents (not yet multiplied by scaling_factor).
   * @param x [batch, in_channels, height, width] in [-1, 1]
   * @returns latentDist of [batch, latent_channels, height / scaleFactor, width / scaleFactor]; the caller disposes it
   * @throws TypeError, RangeError for what is no such tensor; Error where the model has no weights
   */
  encode(x: Tensor): { latentDist: DiagonalGaussian } {
    return { latentDist: new DiagonalGaussian(this.encodeMoments(x)) };
  }

  /** What encode() makes its distribution of: [batch, 2 * latent_channels, …], means, then log-variances. The caller disposes it. */
  encodeMoments(x: Tensor): Tensor {
    checkImages("AutoencoderKL.encode", x, this.config.in_channels);
    const { quant_conv: quant, tileSampleMinSize: size, tileLatentMinSize: latent, tileOverlapFactor: overlap } = this;
    const pass = (image: Tensor): Tensor =>
      this.#run(image, (h) =>
        sequence(h, [(l) => this.encoder.forward(l), ...(quant ? [(l: Tensor) => quant.forward(l)] : [])]),
      );
    const fade = Math.floor(latent * overlap);
    const tiles = { size, stride: Math.floor(size * (1 - overlap)), fade, kept: latent - fade };
    return this.#inParts(x, 1, tiles, pass);
  }

  /**
   * The image of latents (already divided by scaling_factor).
   * @param z [batch, latent_channels, height, width]
   * @returns sample [batch, out_channels, height * scaleFactor, width * scaleFactor], about [-1, 1]; the caller disposes it
   * @throws TypeError, RangeError for what is no such tensor; Error where the model has no weights
   */
  decode(z: Tensor): { sample: Tensor } {
    checkImages("AutoencoderKL.decode", z, this.config.latent_channels);
    const { post_quant_conv: post, tileSampleMinSize, tileLatentMinSize: size, tileOverlapFactor: overlap } = this;
    const pass = (latents: Tensor): Tensor =>
      this.#run(latents, (h) =>
        sequence(h, [...(post ? [(l: Tensor) => post.forward(l)] : []), (l) => this.decoder.forward(l)]),
      );
    const fade = Math.floor(tileSampleMinSize * overlap);
    const tiles = { size, stride: Math.floor(size * (1 - overlap)), fade, kept: tileSampleMinSize - fade };
    return { sample: this.#inParts(z, this.scaleFactor, tiles, pass) };
  }

  /**
   * Encodes and decodes an image.
   * @param sample [batch, in_channels, height, width] in [-1, 1]
   * @param options samplePosterior: latents are drawn from the posterior, with the generator(s)' noise, instead of its mode
   * @returns sample of the same shape for sides that are multiples of scaleFactor, about [-1, 1]
   */
  forward(sample: Tensor, options: AutoencoderForwardOptions = {}): { sample: Tensor } {
    checkImages("AutoencoderKL.forward", sample, this.config.in_channels);
    const { samplePosterior = false, generator } = inOwnSpelling(options, FORWARD_OPTIONS, "AutoencoderKL.forward");
    return sample.device.scope(() => {
      const posterior = this.encode(sample).latentDist;
      return this.decode(samplePosterior ? posterior.sample(generator) : posterior.mode());
    });
  }

  /** `pass` on x, or on each image and tile of it. @param zoom pixels along each side for one of x */
  #inParts(x: Tensor, zoom: number, tiles: Tiling, pass: (x: Tensor) => Tensor): Tensor {
    const one = (image: Tensor): Tensor => {
      const [, , height, width] = image.shape;
      if (!this.#tiling || Math.max(height, width) <= tiles.size) return pass(image);
      for (const [name, value] of Object.entries(tiles))
        if (!(Number.isInteger(value) && value >= (name === "fade" ? 0 : 1)))
          throw new RangeError(
            `AutoencoderKL: tiles of ${this.tileSampleMinSize} pixels and ${this.tileLatentMinSize} latents (config sample_size) ` +
              `with overlap ${this.tileOverlapFactor} cannot be laid out: ${name} would be ${value}`,
          );
      return tiled(image, tiles, pass);
    };
    return byImages(x, { slicing: this.#slicing, zoom }, one);
  }

  /** NCHW in the caller's dtype to NHWC in the model's, through `work`, and back. */
  #run(x: Tensor, work: (x: Tensor) => Tensor): Tensor {
    return x.device.scope(() => {
      const h = toNHWC(x);
      const y = toNCHW(work(h.dtype === this.dtype ? h : cast(h, this.dtype)));
      return y.dtype === x.dtype ? y : cast(y, x.dtype);
    });
  }
}
