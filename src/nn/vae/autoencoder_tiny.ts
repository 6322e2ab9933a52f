import { shown } from "../../arguments/shown.js";
import { cast, toNCHW, toNHWC } from "../../tensor/ops/copy.js";
import { activation, linearCombination } from "../../tensor/ops/elementwise.js";
import { upsampleNearest } from "../../tensor/ops/shape.js";
import { softClamp } from "../../tensor/ops/soft_clamp.js";
import type { Tensor } from "../../tensor/tensor.js";
import { checkImages } from "../check_tensor.js";
import { anything, isCount, isNumber, listOf, type ConfigSchema } from "../config.js";
import { Conv2d, sequence } from "../layers.js";
import { Module } from "../module.js";
import { PretrainedModel } from "../weights/pretrained.js";
import { byImages } from "./vae_tiling.js";

const schema: ConfigSchema = {
  name: "AutoencoderTiny",
  defaults: {
    in_channels: 3,
    out_channels: 3,
    encoder_block_out_channels: [64, 64, 64, 64],
    decoder_block_out_channels: [64, 64, 64, 64],
    act_fn: "relu",
    upsample_fn: "nearest",
    latent_channels: 4,
    upsampling_scaling_factor: 2,
    num_encoder_blocks: [1, 3, 3, 3],
    num_decoder_blocks: [3, 3, 3, 1],
    latent_magnitude: 3,
    latent_shift: 0.5,
    force_upcast: false,
    scaling_factor: 1,
    shift_factor: 0,
  },
  rules: {
    in_channels: isCount,
    out_channels: isCount,
    encoder_block_out_channels: listOf(isCount),
    decoder_block_out_channels: listOf(isCount),
    latent_channels: isCount,
    upsampling_scaling_factor: isCount,
    num_encoder_blocks: listOf(isCount),
    num_decoder_blocks: listOf(isCount),
    latent_magnitude: (value) => isNumber(value) && value !== 0,
    latent_shift: isNumber,
    force_upcast: anything, // sums are in float32 here always
    scaling_factor: isNumber,
    shift_factor: isNumber,
  },
  added: ["block_out_channels"],
};

/** Keys of an AutoencoderTiny's config.json, with diffusers' meaning. */
export interface TinyConfig {
  in_channels: number;
  out_channels: number;
  encoder_block_out_channels: number[];
  decoder_block_out_channels: number[];
  latent_channels: number;
  upsampling_scaling_factor: number;
  num_encoder_blocks: number[];
  num_decoder_blocks: number[];
  latent_magnitude: number;
  latent_shift: number;
  scaling_factor: number;
  shift_factor: number;
}

/** Not a clamp, which would hide an activation that is infinite or NaN. */
const relu = (x: Tensor): Tensor => activation(x, "relu");

/** float32 numbers from here to twice as large are whole ones: adding it rounds, halves to even, as torch's round(). */
const WHOLE = 1.5 * 2 ** 23;

/**
 * Numbers in [0, 1] as bytes hold them: round(255 x) / 255. float32, as halves have no room for WHOLE. Each step is a kernel of its
 * own, so that none is folded into the next.
 */
const roundToBytes = (x: Tensor): Tensor =>
  sequence(x, [
    (h) => linearCombination([[255, h]]),
    ...(x.dtype === "float32" ? [] : [(h: Tensor) => cast(h, "float32")]),
    (h) => linearCombination([[1, h]], { offset: WHOLE }),
    (h) => linearCombination([[1, h]], { offset: -WHOLE }),
    (h) => linearCombination([[1 / 255, h]]),
  ]);

/** TAESD's pictures are in [0, 1], diffusers' in [-1, 1]. */
const toUnsigned = (x: Tensor): Tensor => linearCombination([[0.5, x]], { offset: 0.5 });
const toSigned = (x: Tensor): Tensor => linearCombination([[2, x]], { offset: -1 });

/** relu(conv(relu(conv(relu(conv(x))))) + x). */
class AutoencoderTinyBlock extends Module {
  readonly conv: readonly [Conv2d, null, Conv2d, null, Conv2d];

  constructor(channels: number) {
    super();
    const conv = (): Conv2d => new Conv2d(channels, channels);
    this.conv = [conv(), null, conv(), null, conv()];
  }

  forward(x: Tensor): Tensor {
    return sequence(x, [
      (h) => this.conv[0].forward(h),
      relu,
      (h) => this.conv[2].forward(h),
      relu,
      (h) => this.conv[4].forward(h, { residual: x }),
      relu,
    ]);
  }
}

type Step = Conv2d | AutoencoderTinyBlock;

class EncoderTiny extends Module {
  readonly layers: readonly Step[];

  constructor({
    in_channels,
    latent_channels,
    num_encoder_blocks: counts,
    encoder_block_out_channels: widths,
  }: TinyConfig) {
    super();
    const width = widths[0];
    this.layers = [
      ...counts.flatMap((count, i): Step[] => [
        i === 0 ? new Conv2d(in_channels, width) : new Conv2d(width, width, { stride: 2, bias: false }),
        ...Array.from({ length: count }, () => new AutoencoderTinyBlock(width)),
      ]),
      new Conv2d(width, latent_channels),
    ];
  }

  /** @param x [batch, height, width, in_channels] in [-1, 1] */
  forward(x: Tensor): Tensor {
    return sequence(x, [toUnsigned, ...this.layers.map((layer) => (h: Tensor) => layer.forward(h))]);
  }
}

class DecoderTiny extends Module {
  /** null where diffusers' list has a layer without weights: ReLU after the first convolution, an upsampling later. */
  readonly layers: readonly (Step | null)[];
  readonly #zoom: number;

  constructor(config: TinyConfig) {
    super();
    const { num_decoder_blocks: counts, decoder_block_out_channels: widths } = config;
    const width = widths[0];
    const last = counts.length - 1;
    this.#zoom = config.upsampling_scaling_factor;
    this.layers = [
      new Conv2d(config.latent_channels, width),
      null,
      ...counts.flatMap((count, i): (Step | null)[] => [
        ...Array.from({ length: count }, () => new AutoencoderTinyBlock(width)),
        ...(i < last ? [null, new Conv2d(width, width, { bias: false })] : [new Conv2d(width, config.out_channels)]),
      ]),
    ];
  }

  forward(x: Tensor): Tensor {
    return sequence(x, [(h) => softClamp(h, 3), ...this.layers.map((layer, i) => this.#step(layer, i)), toSigned]);
  }

  #step(layer: Step | null, i: number): (x: Tensor) => Tensor {
    if (i === 1) return relu;
    const zoom = this.#zoom;
    // A convolution doubles its input on the way; other factors make the larger input first.
    if (!layer) return (x) => (zoom === 2 ? x : upsampleNearest(x, [zoom * x.shape[1], zoom * x.shape[2]]));
    const doubles = i > 1 && this.layers[i - 1] === null && zoom === 2;
    return (x) => (layer instanceof Conv2d ? layer.forward(x, { upsample: doubles }) : layer.forward(x));
  }
}

/**
 * TAESD (Ollin Boer Bohan): a small VAE that gives nearly the pictures of AutoencoderKL in a fraction of the time. diffusers:
 * models/autoencoders/autoencoder_tiny.py
 * @example
 * pipeline.vae = await AutoencoderTiny.fromPretrained("madebyollin/taesd");
 */
export class AutoencoderTiny extends PretrainedModel<TinyConfig> {
  static readonly className = "AutoencoderTiny";
  static readonly defaults = schema.defaults;
  readonly encoder: EncoderTiny;
  readonly decoder: DecoderTiny;
  #slicing = false;

  constructor(given: Readonly<Record<string, unknown>> = {}) {
    super(schema, given);
    const { config } = this;
    for (const half of ["encoder", "decoder"] as const) {
      const widths = config[`${half}_block_out_channels`];
      const counts = config[`num_${half}_blocks`];
      if (widths.length !== counts.length)
        throw new TypeError(
          `AutoencoderTiny: config ${half}_block_out_channels and num_${half}_blocks need as many entries, got ${widths.length} and ${counts.length}`,
        );
      // diffusers makes models of several widths, but they fail at the first level whose width is another.
      if (widths.some((width) => width !== widths[0]))
        throw new TypeError(
          `AutoencoderTiny: config ${half}_block_out_channels = ${shown(widths)} must be one width throughout`,
        );
    }
    this.encoder = new EncoderTiny(config);
    this.decoder = new DecoderTiny(config);
  }

  /** Pixels per latent along each side. */
  get scaleFactor(): number {
    return this.config.upsampling_scaling_factor ** (this.config.num_decoder_blocks.length - 1);
  }

  /** The pictures of a batch go through one after another, which bounds the memory; those of 256 x 256 pixels and more always do. */
  enableSlicing(): void {
    this.#slicing = true;
  }

  /** Ends enableSlicing(). */
  disableSlicing(): void {
    this.#slicing = false;
  }

  /** Raw latents to [0, 1], as pictures of latents are stored. The caller disposes the result. */
  scaleLatents(x: Tensor): Tensor {
    const { latent_magnitude: magnitude, latent_shift: offset } = this.config;
    return linearCombination([[1 / (2 * magnitude), x]], { offset, clamp: [0, 1] });
  }

  /** [0, 1] to raw latents. The caller disposes the result. */
  unscaleLatents(x: Tensor): Tensor {
    const scale = 2 * this.config.latent_magnitude;
    return linearCombination([[scale, x]], { offset: -scale * this.config.latent_shift });
  }

  /**
   * @param x [batch, in_channels, height, width] in [-1, 1]
   * @returns latents [batch, latent_channels, …], each side ceil(half) as often as there are strides
   */
  encode(x: Tensor): { latents: Tensor } {
    return { latents: this.#run("encode", x, this.config.in_channels, this.encoder, 1) };
  }

  /**
   * @param z latents [batch, latent_channels, height, width]
   * @returns sample [batch, out_channels, height * scaleFactor, width * scaleFactor], about [-1, 1]
   */
  decode(z: Tensor): { sample: Tensor } {
    return { sample: this.#run("decode", z, this.config.latent_channels, this.decoder, this.scaleFactor) };
  }

  /**
   * Encodes and decodes an image. Between, latents are rounded to bytes, as if they were stored as the colours of a picture.
   * @param sample [batch, in_channels, height, width] in [-1, 1]
   * @returns sample of the same shape for sides that are multiples of scaleFactor, about [-1, 1]
   */
  forward(sample: Tensor): { sample: Tensor } {
    checkImages("AutoencoderTiny.forward", sample, this.config.in_channels);
    return sample.device.scope(() => {
      const stored = roundToBytes(this.scaleLatents(this.encode(sample).latents));
      const latents = this.unscaleLatents(stored);
      return this.decode(latents.dtype === sample.dtype ? latents : cast(latents, sample.dtype));
    });
  }

  /** NCHW in the caller's dtype to NHWC in the model's, through one half, and back. @param zoom pixels along each side for one of x */
  #run(what: string, x: Tensor, channels: number, half: EncoderTiny | DecoderTiny, zoom: number): Tensor {
    checkImages(`AutoencoderTiny.${what}`, x, channels);
    const pass = (part: Tensor): Tensor =>
      part.device.scope(() => {
        const h = toNHWC(part);
        const y = toNCHW(half.forward(h.dtype === this.dtype ? h : cast(h, this.dtype)));
        return y.dtype === part.dtype ? y : cast(y, part.dtype);
      });
    return byImages(x, { slicing: this.#slicing, zoom }, pass);
  }
}
