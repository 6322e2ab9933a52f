/** The UNets' down, mid and up blocks, diffusers/models/unets/unet_2d_blocks.py. */
import { add } from "../../tensor/ops/elementwise.js";
import type { Tensor } from "../../tensor/tensor.js";
import type { Prompt } from "../attention.js";
import { Module } from "../module.js";
import { ResnetBlock2D, Upsample2D, type Downsample2D, type ResnetOptions, type TimeConditioning } from "../resnet.js";
import { freeU, type FreeUStage } from "./freeu.js";

/** The time embedding and, of models that take one, the encoded prompt. */
export interface Conditioning extends TimeConditioning, Prompt {}

/** What follows a ResNet block: a transformer, or attention among pixels, which has no use for a prompt. */
export interface SpatialAttention extends Module {
  forward(x: Tensor, prompt: Prompt): Tensor;
}

/** Options of a block's ResNet blocks, but for their channels. */
export type ResnetShape = Omit<ResnetOptions, "inChannels" | "outChannels">;

export interface BlockOptions {
  resnet: ResnetShape;
  layers: number;
  inChannels: number;
  outChannels: number;
  /** Makes the attention after each ResNet block; null in blocks without. */
  attention: ((layer: number) => SpatialAttention) | null;
}

export interface DownResult {
  /** For the next block. */
  hidden: Tensor;
  /** The skip connections: every layer's result and the downsampled one; null where a block of `k_blocks.ts` makes none. */
  skips: (Tensor | null)[];
  /** The image, halved with the features, in NCSN++. */
  image?: Tensor;
}

export interface DownForwardOptions {
  /** The input, or what the block above made of it. */
  image?: Tensor;
  /** Added to the result of the last layer, of CrossAttn blocks; see intrablock.ts. */
  residual?: Tensor;
}

export interface DownBlock extends Module {
  forward(x: Tensor, conditioning: Conditioning, options?: DownForwardOptions): DownResult;
}

/** DownBlock2D and its relatives with attention (Attn-, CrossAttn-, SimpleCrossAttn-) and with ResnetDownsampleBlock2D. */
export class DownBlock2D extends Module implements DownBlock {
  readonly resnets: readonly ResnetBlock2D[];
  readonly attentions: readonly SpatialAttention[] | null;
  readonly downsamplers: readonly [Downsample2D | ResnetBlock2D] | null;

  constructor(options: BlockOptions & { downsampler: Downsample2D | ResnetBlock2D | null }) {
    super();
    const { resnet, layers, inChannels, outChannels, attention, downsampler } = options;
    this.resnets = Array.from(
      { length: layers },
      (_, i) => new ResnetBlock2D({ ...resnet, inChannels: i === 0 ? inChannels : outChannels, outChannels }),
    );
    this.attentions = attention && this.resnets.map((_, i) => attention(i));
    this.downsamplers = downsampler && [downsampler];
  }

  forward(x: Tensor, conditioning: Conditioning, { residual }: DownForwardOptions = {}): DownResult {
    const skips: Tensor[] = [];
    let hidden = x;
    this.resnets.forEach((resnet, i) => {
      const attend = this.attentions?.[i];
      const resolved = resnet.forward(hidden, conditioning);
      hidden = attend ? attend.forward(resolved, conditioning) : resolved;
      if (attend) resolved.dispose();
      if (residual && i === this.resnets.length - 1) {
        const own = hidden;
        hidden = add(own, residual);
        own.dispose();
      }
      skips.push(hidden);
    });
    if (this.downsamplers) skips.push((hidden = this.downsamplers[0].forward(hidden, conditioning)));
    return { hidden, skips };
  }
}

export interface MidOptions {
  resnet: ResnetShape;
  channels: number;
  /** 0: one ResNet block and nothing else. */
  layers: 0 | 1;
  attention: (() => SpatialAttention) | null;
}

/** UNetMidBlock2D and its relatives: ResNet block, attention where there is one, ResNet block. */
export class MidBlock2D extends Module {
  readonly attentions: readonly (SpatialAttention | null)[];
  readonly resnets: readonly ResnetBlock2D[];

  constructor({ resnet, channels, layers, attention }: MidOptions) {
    super();
    const block = (): ResnetBlock2D => new ResnetBlock2D({ ...resnet, inChannels: channels, outChannels: channels });
    this.attentions = layers === 0 ? [] : [attention && attention()];
    this.resnets = layers === 0 ? [block()] : [block(), block()];
  }

  forward(x: Tensor, conditioning: Conditioning): Tensor {
    return x.device.scope(() => {
      const [first, second] = this.resnets;
      const h = first.forward(x, conditioning);
      const attended = this.attentions[0]?.forward(h, conditioning) ?? h;
      return second ? second.forward(attended, conditioning) : attended;
    });
  }
}

export interface UpResult {
  hidden: Tensor;
  /** The image so far, of NCSN++; absent before its first block and in other models. */
  image?: Tensor;
}

export interface UpBlock extends Module {
  readonly resnets: readonly Module[];
  /**
   * @param skips the skip connections: taken from the end, one per layer, and disposed
   * @param options size: of the upsampled result where it is not simply the double
   */
  forward(x: Tensor, skips: (Tensor | null)[], conditioning: Conditioning, options?: UpForwardOptions): UpResult;
}

export interface UpForwardOptions {
  size?: readonly [height: number, width: number];
  image?: Tensor;
}

export interface UpOptions extends BlockOptions {
  /** Channels of the skip connection of the last layer. */
  skipChannels: number;
}

/** The ResNet blocks of an up block: each layer takes one skip connection beside what comes from below. */
export const upResnets = (
  { layers, inChannels, outChannels, skipChannels }: Omit<UpOptions, "resnet" | "attention">,
  make: (from: number, skip: number, outChannels: number) => ResnetBlock2D,
): ResnetBlock2D[] =>
  Array.from({ length: layers }, (_, i) =>
    make(i === 0 ? inChannels : outChannels, i === layers - 1 ? skipChannels : outChannels, outChannels),
  );

/** UpBlock2D and its relatives with attention and with ResnetUpsampleBlock2D. */
export class UpBlock2D extends Module implements UpBlock {
  readonly resnets: readonly ResnetBlock2D[];
  readonly attentions: readonly SpatialAttention[] | null;
  readonly upsamplers: readonly [Upsample2D | ResnetBlock2D] | null;
  #freeU: FreeUStage | null = null;

  constructor(options: UpOptions & { upsampler: Upsample2D | ResnetBlock2D | null }) {
    super();
    const { resnet, attention, upsampler } = options;
    this.resnets = upResnets(
      options,
      (from, skip, outChannels) => new ResnetBlock2D({ ...resnet, inChannels: from + skip, outChannels }),
    );
    this.attentions = attention && this.resnets.map((_, i) => attention(i));
    this.upsamplers = upsampler && [upsampler];
  }

  setFreeU(stage: FreeUStage | null): void {
    this.#freeU = stage;
  }

  forward(x: Tensor, skips: (Tensor | null)[], conditioning: Conditioning, options: UpForwardOptions = {}): UpResult {
    return x.device.scope(() => {
      let h = x;
      const advance = (next: Tensor): void => {
        if (h !== x) h.dispose();
        h = next;
      };
      this.resnets.forEach((resnet, i) => {
        const skip = takeSkip(skips);
        advance(
          x.device.scope(() => {
            const [below, beside] = this.#freeU ? freeU(h, skip, this.#freeU) : [h, skip];
            return resnet.forward(below, conditioning, beside);
          }),
        );
        skip.dispose();
        if (this.attentions) advance(this.attentions[i].forward(h, conditioning));
      });
      const upsampler = this.upsamplers?.[0];
      if (upsampler)
        advance(
          upsampler instanceof Upsample2D ? upsampler.forward(h, options.size) : upsampler.forward(h, conditioning),
        );
      return { hidden: h };
    });
  }
}

export function takeSkip(skips: (Tensor | null)[]): Tensor {
  const skip = skips.pop();
  if (!skip) throw new Error("UpBlock: fewer skip connections than layers");
  return skip;
}
