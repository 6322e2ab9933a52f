/** AutoencoderKL, Stable Diffusion's VAE, diffusers/models/autoencoders/autoencoder_kl.py and vae.py. */
import { cast, toNCHW, toNHWC } from "../tensor/ops/copy.js";
import type { Tensor } from "../tensor/tensor.js";
import { AttentionBlock } from "./attention.js";
import { anything, isBoolean, isCount, isNumber, listOf, nullOr, oneOf, type ConfigSchema } from "./config.js";
import { DiagonalGaussian } from "./diagonal_gaussian.js";
import { Conv2d, GroupNorm, sequence } from "./layers.js";
import { Module } from "./module.js";
import { PretrainedModel } from "./pretrained.js";
import { Downsample2D, ResnetBlock2D, Upsample2D } from "./resnet.js";

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

interface VAEConfig {
  in_channels: number;
  out_channels: number;
  down_block_types: string[];
  up_block_types: string[];
  block_out_channels: number[];
  layers_per_block: number;
  latent_channels: number;
  norm_num_groups: number;
  scaling_factor: number;
  shift_factor: number | null;
  use_quant_conv: boolean;
  use_post_quant_conv: boolean;
  mid_block_add_attention: boolean;
}

const EPS = 1e-6;

const resnet = (inChannels: number, outChannels: number, groups: number): ResnetBlock2D =>
  new ResnetBlock2D({ inChannels, outChannels, tembChannels: null, groups, eps: EPS });

class DownEncoderBlock2D extends Module {
  readonly resnets: readonly ResnetBlock2D[];
  readonly downsamplers: readonly [Downsample2D] | null;

  constructor(
    inChannels: number,
    outChannels: number,
    { layers, groups, downsample }: { layers: number; groups: number; downsample: boolean },
  ) {
    super();
    this.resnets = Array.from({ length: layers }, (_, i) =>
      resnet(i === 0 ? inChannels : outChannels, outChannels, groups),
    );
    this.downsamplers = downsample ? [new Downsample2D(outChannels, 0)] : null;
  }

  forward(x: Tensor): Tensor {
    return sequence(
      x,
      [...this.resnets, ...(this.downsamplers ?? [])].map((layer) => (h) => layer.forward(h)),
    );
  }
}

class UpDecoderBlock2D extends Module {
  readonly resnets: readonly ResnetBlock2D[];
  readonly upsamplers: readonly [Upsample2D] | null;

  constructor(
    inChannels: number,
    outChannels: number,
    { layers, groups, upsample }: { layers: number; groups: number; upsample: boolean },
  ) {
    super();
    this.resnets = Array.from({ length: layers }, (_, i) =>
      resnet(i === 0 ? inChannels : outChannels, outChannels, groups),
    );
    this.upsamplers = upsample ? [new Upsample2D(outChannels)] : null;
  }

  forward(x: Tensor): Tensor {
    return sequence(
      x,
      [...this.resnets, ...(this.upsamplers ?? [])].map((layer) => (h) => layer.forward(h)),
    );
  }
}

class UNetMidBlock2D extends Module {
  readonly attentions: readonly AttentionBlock[];
  readonly resnets: readonly [ResnetBlock2D, ResnetBlock2D];

  constructor(channels: number, groups: number, attention: boolean) {
    super();
    this.attentions = attention ? [new AttentionBlock(channels, { groups, eps: EPS })] : [];
    this.resnets = [resnet(channels, channels, groups), resnet(channels, channels, groups)];
  }

  forward(x: Tensor): Tensor {
    return sequence(
      x,
      [this.resnets[0], ...this.attentions, this.resnets[1]].map((layer) => (h) => layer.forward(h)),
    );
  }
}

class Encoder extends Module {
  readonly conv_in: Conv2d;
  readonly down_blocks: readonly DownEncoderBlock2D[];
  readonly mid_block: UNetMidBlock2D;
  readonly conv_norm_out: GroupNorm;
  readonly conv_out: Conv2d;

  constructor({
    in_channels,
    block_out_channels: widths,
    layers_per_block: layers,
    norm_num_groups: groups,
    ...config
  }: VAEConfig) {
    super();
    const last = widths.length - 1;
    this.conv_in = new Conv2d(in_channels, widths[0]);
    this.down_blocks = widths.map(
      (width, i) => new DownEncoderBlock2D(widths[Math.max(0, i - 1)], width, { layers, groups, downsample: i < last }),
    );
    this.mid_block = new UNetMidBlock2D(widths[last], groups, config.mid_block_add_attention);
    this.conv_norm_out = new GroupNorm(groups, widths[last], EPS);
    this.conv_out = new Conv2d(widths[last], 2 * config.latent_channels);
  }

  forward(x: Tensor): Tensor {
    return sequence(x, [
      (h) => this.conv_in.forward(h),
      ...this.down_blocks.map((block) => (h: Tensor) => block.forward(h)),
      (h) => this.mid_block.forward(h),
      (h) => this.conv_norm_out.forward(h, { silu: true }),
      (h) => this.conv_out.forward(h),
    ]);
  }
}

class Decoder extends Module {
  readonly conv_in: Conv2d;
  readonly mid_block: UNetMidBlock2D;
  readonly up_blocks: readonly UpDecoderBlock2D[];
  readonly conv_norm_out: GroupNorm;
  readonly conv_out: Conv2d;

  constructor({ out_channels, block_out_channels, layers_per_block, norm_num_groups: groups, ...config }: VAEConfig) {
    super();
    const widths = [...block_out_channels].reverse();
    const last = widths.length - 1;
    const layers = layers_per_block + 1;
    this.conv_in = new Conv2d(config.latent_channels, widths[0]);
    this.mid_block = new UNetMidBlock2D(widths[0], groups, config.mid_block_add_attention);
    this.up_blocks = widths.map(
      (width, i) => new UpDecoderBlock2D(widths[Math.max(0, i - 1)], width, { layers, groups, upsample: i < last }),
    );
    this.conv_norm_out = new GroupNorm(groups, widths[last], EPS);
    this.conv_out = new Conv2d(widths[last], out_channels);
  }

  forward(x: Tensor): Tensor {
    return sequence(x, [
      (h) => this.conv_in.forward(h),
      (h) => this.mid_block.forward(h),
      ...this.up_blocks.map((block) => (h: Tensor) => block.forward(h)),
      (h) => this.conv_norm_out.forward(h, { silu: true }),
      (h) => this.conv_out.forward(h),
    ]);
  }
}

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
