/** The blocks of NCSN++ (Song et al. 2021): the image itself goes down and up beside the features. */
import { add } from "../../tensor/ops/elementwise.js";
import type { Tensor } from "../../tensor/tensor.js";
import { AttentionBlock } from "../attention.js";
import { Conv2d, GroupNorm } from "../layers.js";
import { Module } from "../module.js";
import { firDown, firUp } from "../resample.js";
import { ResnetBlock2D } from "../resnet.js";
import {
  takeSkip,
  upResnets,
  type Conditioning,
  type DownBlock,
  type DownForwardOptions,
  type DownResult,
  type ResnetShape,
  type UpBlock,
  type UpForwardOptions,
  type UpResult,
} from "./unet_2d_blocks.js";

export interface SkipBlockOptions {
  /** Groups are a quarter of the channels, at most 32, whatever the config says. */
  resnet: Omit<ResnetShape, "groups" | "groupsOut" | "outputScale">;
  layers: number;
  inChannels: number;
  outChannels: number;
  /** Channels per attention head; null without attention. */
  headDim: number | null;
  /** Whether the block halves or doubles the size. */
  resize: boolean;
}

/** Channels of the image: diffusers knows no other number here. */
export const IMAGE_CHANNELS = 3;
const SCALE = Math.SQRT2;

const quarter = (channels: number): number => Math.min(Math.floor(channels / 4), 32);

const attention = (channels: number, headDim: number, eps: number): AttentionBlock =>
  new AttentionBlock(channels, { groups: 32, eps, headDim, outputScale: SCALE });

const resized = (channels: number, options: SkipBlockOptions, resample: typeof firUp): ResnetBlock2D =>
  new ResnetBlock2D({
    ...options.resnet,
    inChannels: channels,
    outChannels: channels,
    groups: quarter(channels),
    outputScale: SCALE,
    resample,
    shortcut: true,
  });

/** SkipDownBlock2D and AttnSkipDownBlock2D. */
export class SkipDownBlock2D extends Module implements DownBlock {
  readonly resnets: readonly ResnetBlock2D[];
  readonly attentions: readonly AttentionBlock[] | null;
  readonly resnet_down: ResnetBlock2D | null;
  readonly skip_conv: Conv2d | null;

  constructor(options: SkipBlockOptions) {
    super();
    const { resnet, layers, inChannels, outChannels, headDim, resize } = options;
    this.resnets = Array.from({ length: layers }, (_, i) => {
      const from = i === 0 ? inChannels : outChannels;
      const groups = { groups: quarter(from), groupsOut: quarter(outChannels) };
      return new ResnetBlock2D({ ...resnet, ...groups, inChannels: from, outChannels, outputScale: SCALE });
    });
    this.attentions = headDim === null ? null : this.resnets.map(() => attention(outChannels, headDim, resnet.eps));
    this.resnet_down = resize ? resized(outChannels, options, firDown) : null;
    this.skip_conv = resize ? new Conv2d(IMAGE_CHANNELS, outChannels, { kernel: 1 }) : null;
  }

  forward(x: Tensor, conditioning: Conditioning, { image }: DownForwardOptions = {}): DownResult {
    const skips: Tensor[] = [];
    let hidden = x;
    this.resnets.forEach((resnet, i) => {
      hidden = resnet.forward(hidden, conditioning);
      if (this.attentions) hidden = this.attentions[i].forward(hidden);
      skips.push(hidden);
    });
    if (!this.resnet_down || !this.skip_conv || !image) return { hidden, skips, image };
    const smaller = firDown(image);
    hidden = this.skip_conv.forward(smaller, { residual: this.resnet_down.forward(hidden, conditioning) });
    skips.push(hidden);
    return { hidden, skips, image: smaller };
  }
}

/** SkipUpBlock2D and AttnSkipUpBlock2D. */
export class SkipUpBlock2D extends Module implements UpBlock {
  readonly resnets: readonly ResnetBlock2D[];
  readonly attentions: readonly [AttentionBlock] | null;
  readonly resnet_up: ResnetBlock2D | null;
  readonly skip_conv: Conv2d | null;
  readonly skip_norm: GroupNorm | null;

  constructor(options: SkipBlockOptions & { skipChannels: number }) {
    super();
    const { resnet, outChannels, headDim, resize } = options;
    this.resnets = upResnets(options, (from, skip) => {
      // A slip of diffusers in the block with attention, which trained models have.
      const groups = headDim === null ? quarter(from + skip) : Math.min(from + Math.floor(skip / 4), 32);
      const shape = { groups, groupsOut: quarter(outChannels), outputScale: SCALE };
      return new ResnetBlock2D({ ...resnet, ...shape, inChannels: from + skip, outChannels });
    });
    this.attentions = headDim === null ? null : [attention(outChannels, headDim, resnet.eps)];
    this.resnet_up = resize ? resized(outChannels, options, firUp) : null;
    this.skip_conv = resize ? new Conv2d(outChannels, IMAGE_CHANNELS) : null;
    this.skip_norm = resize ? new GroupNorm(quarter(outChannels), outChannels, resnet.eps) : null;
  }

  forward(x: Tensor, skips: (Tensor | null)[], conditioning: Conditioning, options: UpForwardOptions = {}): UpResult {
    const { image } = options;
    return x.device.scope(() => {
      let hidden = x;
      for (const resnet of this.resnets) {
        hidden = resnet.forward(hidden, conditioning, takeSkip(skips));
      }
      if (this.attentions) hidden = this.attentions[0].forward(hidden);
      let larger = image && firUp(image);
      if (!this.resnet_up || !this.skip_norm || !this.skip_conv) return { hidden, image: larger };
      const drawn = this.skip_conv.forward(this.skip_norm.forward(hidden, { silu: true }));
      larger = larger ? add(larger, drawn) : drawn;
      return { hidden: this.resnet_up.forward(hidden, conditioning), image: larger };
    });
  }
}
