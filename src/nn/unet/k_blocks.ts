/**
 * The blocks of the latent upscaler's UNet, after Katherine Crowson's k-diffusion: group norms that the time embedding
 * scales and shifts, resampling by a filter with mirrored edges, and one skip connection per block.
 */
import { firResample } from "../../tensor/ops/fir_resample.js";
import { concat } from "../../tensor/ops/shape.js";
import type { Tensor } from "../../tensor/tensor.js";
import type { Activation } from "../activations.js";
import { Attention } from "../attention.js";
import { Conv2d, sequence } from "../layers.js";
import { Module } from "../module.js";
import { FIR } from "../resample.js";
import type { TimeConditioning } from "../resnet.js";
import { AdaGroupNorm } from "./ada_group_norm.js";
import type { Conditioning, DownBlock, DownResult, UpBlock, UpResult } from "./unet_2d_blocks.js";

/** Channels of a group of the norms. */
const GROUP = 32;

export interface KBlockOptions {
  tembChannels: number;
  eps: number;
  activation: Activation;
  layers: number;
  inChannels: number;
  outChannels: number;
  /** Whether the block halves or doubles the size. */
  resize: boolean;
  /** Of blocks with attention. */
  attention: { headDim: number; contextWidth: number } | null;
}

/** ResnetBlockCondNorm2D: h = conv2(act(norm2(conv1(act(norm1(x, temb))), temb))) + shortcut(x). */
class KResnetBlock extends Module {
  readonly norm1: AdaGroupNorm;
  readonly conv1: Conv2d;
  readonly norm2: AdaGroupNorm;
  readonly conv2: Conv2d;
  readonly conv_shortcut: Conv2d | null;
  readonly #activation: Activation;

  /** @param inner channels between the convolutions; the number of groups follows from `groupsOf` */
  constructor(options: KBlockOptions, inChannels: number, inner: number, outChannels: number, groupsOf = inner) {
    super();
    const { tembChannels, eps, activation } = options;
    const groups = (channels: number): number => Math.floor(channels / GROUP);
    this.norm1 = new AdaGroupNorm(tembChannels, inChannels, groups(inChannels), eps);
    this.conv1 = new Conv2d(inChannels, inner);
    this.norm2 = new AdaGroupNorm(tembChannels, inner, groups(groupsOf), eps);
    this.conv2 = new Conv2d(inner, outChannels);
    this.conv_shortcut =
      inChannels === outChannels ? null : new Conv2d(inChannels, outChannels, { kernel: 1, bias: false });
    this.#activation = activation;
  }

  forward(x: Tensor, time: TimeConditioning): Tensor {
    return x.device.scope(() => {
      const residual = this.conv_shortcut?.forward(x) ?? x;
      return sequence(x, [
        (h) => this.norm1.forward(h, time, this.#activation),
        (h) => this.conv1.forward(h),
        (h) => this.norm2.forward(h, time, this.#activation),
        (h) => this.conv2.forward(h, { residual }),
      ]);
    });
  }
}

/** KAttentionBlock: among pixels, in some blocks, then to the prompt; no feed-forward. */
class KAttentionBlock extends Module {
  readonly norm1: AdaGroupNorm | null;
  readonly attn1: Attention | null;
  readonly norm2: AdaGroupNorm;
  readonly attn2: Attention;

  constructor(channels: number, tembChannels: number, { headDim, contextWidth }: KAttention, self: boolean) {
    super();
    const heads = Math.floor(channels / headDim);
    if (heads === 0)
      throw new RangeError(`KAttentionBlock: heads of ${headDim} (attention_head_dim) do not fit ${channels} channels`);
    const norm = (): AdaGroupNorm =>
      new AdaGroupNorm(tembChannels, channels, Math.max(1, Math.floor(channels / GROUP)), 1e-5);
    const inner = heads * headDim;
    this.norm1 = self ? norm() : null;
    this.attn1 = self ? new Attention(channels, heads, { inner, bias: true }) : null;
    this.norm2 = norm();
    this.attn2 = new Attention(channels, heads, { inner, bias: true, contextWidth, contextNorm: true });
  }

  forward(x: Tensor, conditioning: Conditioning): Tensor {
    const { context, contextMask: mask } = conditioning;
    return x.device.scope(() => {
      const [batch, height, width, channels] = x.shape;
      const tokens = (h: Tensor): Tensor => h.reshape([batch, height * width, channels]);
      let h = x;
      if (this.norm1 && this.attn1)
        h = this.attn1.forward(tokens(this.norm1.forward(h, conditioning)), { residual: tokens(h) }).reshape(x.shape);
      const normed = tokens(this.norm2.forward(h, conditioning));
      return this.attn2.forward(normed, { context, mask, residual: tokens(h) }).reshape(x.shape);
    });
  }
}

type KAttention = NonNullable<KBlockOptions["attention"]>;

const halved = (x: Tensor): Tensor => firResample(x, { taps: FIR, down: 2, pad: [1, 1], edge: "reflect" });
const doubled = (x: Tensor): Tensor =>
  firResample(x, { taps: FIR.map((w) => 2 * w), up: 2, pad: [2, 1], edge: "reflect" });

function runLayers(
  x: Tensor,
  { resnets, attentions }: { resnets: readonly KResnetBlock[]; attentions: readonly KAttentionBlock[] | null },
  conditioning: Conditioning,
): Tensor[] {
  let h = x;
  return resnets.map((resnet, i) => {
    const resolved = resnet.forward(h, conditioning);
    h = attentions ? attentions[i].forward(resolved, conditioning) : resolved;
    return h;
  });
}

/** KDownBlock2D and KCrossAttnDownBlock2D. The halved result is no skip connection. */
export class KDownBlock2D extends Module implements DownBlock {
  readonly resnets: readonly KResnetBlock[];
  readonly attentions: readonly KAttentionBlock[] | null;
  readonly #resize: boolean;

  constructor(options: KBlockOptions) {
    super();
    const { layers, inChannels, outChannels, tembChannels, attention, resize } = options;
    this.#resize = resize;
    this.resnets = Array.from(
      { length: layers },
      (_, i) => new KResnetBlock(options, i === 0 ? inChannels : outChannels, outChannels, outChannels),
    );
    this.attentions =
      attention && this.resnets.map(() => new KAttentionBlock(outChannels, tembChannels, attention, !resize));
  }

  forward(x: Tensor, conditioning: Conditioning): DownResult {
    const results = runLayers(x, this, conditioning);
    const last = results[results.length - 1];
    // The coarsest block with attention goes straight on to the first one of the way up.
    const skips = this.attentions && !this.#resize ? results.map(() => null) : results;
    return { hidden: this.#resize ? halved(last) : last, skips };
  }
}

export interface KUpOptions extends Omit<KBlockOptions, "inChannels"> {
  /** Channels of the level above. */
  skipChannels: number;
}

/** KUpBlock2D and KCrossAttnUpBlock2D: of the skip connections of its level it takes the last. */
export class KUpBlock2D extends Module implements UpBlock {
  readonly resnets: readonly KResnetBlock[];
  readonly attentions: readonly KAttentionBlock[] | null;
  readonly #resize: boolean;

  constructor(options: KUpOptions) {
    super();
    const { layers, outChannels: channels, skipChannels: above, tembChannels, attention, resize } = options;
    this.#resize = resize;
    const coarsest = attention !== null && above === channels && channels === tembChannels;
    const shape = { ...options, inChannels: channels };
    this.resnets = Array.from({ length: layers }, (_, i) => {
      const from = i > 0 || coarsest ? channels : 2 * channels;
      const to = i === layers - 1 ? above : channels;
      // With attention only the second convolution changes the channels.
      return attention ? new KResnetBlock(shape, from, channels, to) : new KResnetBlock(shape, from, to, to, channels);
    });
    this.attentions =
      attention &&
      this.resnets.map(
        (_, i) => new KAttentionBlock(i === layers - 1 ? above : channels, tembChannels, attention, coarsest),
      );
  }

  forward(x: Tensor, skips: (Tensor | null)[], conditioning: Conditioning): UpResult {
    return x.device.scope(() => {
      const [skip] = skips.splice(-this.resnets.length).slice(-1);
      const results = runLayers(skip ? concat(x, skip, 3) : x, this, conditioning);
      const last = results[results.length - 1];
      return { hidden: this.#resize ? doubled(last) : last };
    });
  }
}
