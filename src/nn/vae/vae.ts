/** The encoder and decoder of Stable Diffusion's VAE, diffusers/models/autoencoders/vae.py. */
import type { Tensor } from "../../tensor/tensor.js";
import { AttentionBlock } from "../attention.js";
import { Conv2d, GroupNorm, sequence } from "../layers.js";
import { Module } from "../module.js";
import { Downsample2D, ResnetBlock2D, Upsample2D } from "../resnet.js";

/** The keys of AutoencoderKL's config that are read. */
export interface VAEConfig {
  in_channels: number;
  out_channels: number;
  down_block_types: string[];
  up_block_types: string[];
  block_out_channels: number[];
  layers_per_block: number;
  latent_channels: number;
  norm_num_groups: number;
  sample_size: number | number[];
  scaling_factor: number;
  shift_factor: number | null;
  latents_mean: number[] | null;
  latents_std: number[] | null;
  use_quant_conv: boolean;
  use_post_quant_conv: boolean;
  mid_block_add_attention: boolean;
}

const EPS = 1e-6;

const resnet = (inChannels: number, outChannels: number, groups: number): ResnetBlock2D =>
  new ResnetBlock2D({ inChannels, outChannels, tembChannels: null, groups, eps: EPS });

/** The ResNet blocks of a level, and what changes the size after them. */
abstract class LevelBlock extends Module {
  readonly resnets: readonly ResnetBlock2D[];

  constructor(inChannels: number, outChannels: number, { layers, groups }: { layers: number; groups: number }) {
    super();
    this.resnets = Array.from({ length: layers }, (_, i) =>
      resnet(i === 0 ? inChannels : outChannels, outChannels, groups),
    );
  }

  protected abstract get samplers(): readonly (Downsample2D | Upsample2D)[] | null;

  forward(x: Tensor): Tensor {
    return sequence(
      x,
      [...this.resnets, ...(this.samplers ?? [])].map((layer) => (h) => layer.forward(h)),
    );
  }
}

class DownEncoderBlock2D extends LevelBlock {
  readonly downsamplers: readonly [Downsample2D] | null;

  constructor(
    inChannels: number,
    outChannels: number,
    options: { layers: number; groups: number; downsample: boolean },
  ) {
    super(inChannels, outChannels, options);
    this.downsamplers = options.downsample ? [new Downsample2D(outChannels, 0)] : null;
  }

  protected get samplers(): readonly [Downsample2D] | null {
    return this.downsamplers;
  }
}

class UpDecoderBlock2D extends LevelBlock {
  readonly upsamplers: readonly [Upsample2D] | null;

  constructor(inChannels: number, outChannels: number, options: { layers: number; groups: number; upsample: boolean }) {
    super(inChannels, outChannels, options);
    this.upsamplers = options.upsample ? [new Upsample2D(outChannels)] : null;
  }

  protected get samplers(): readonly [Upsample2D] | null {
    return this.upsamplers;
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

export class Encoder extends Module {
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

export class Decoder extends Module {
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
