/** The UNets' down, mid and up blocks, diffusers/models/unets/unet_2d_blocks.py. */
import { concat } from "../tensor/ops/shape.js";
import type { Tensor } from "../tensor/tensor.js";
import { Module } from "./module.js";
import { Downsample2D, ResnetBlock2D, Upsample2D } from "./resnet.js";

/** What all blocks of one UNet have in common. */
export interface UNetShape {
  tembChannels: number;
  groups: number;
  eps: number;
}

/** What follows a ResNet block: a transformer, or attention among pixels, which has no use for a prompt. */
export interface SpatialAttention extends Module {
  forward(x: Tensor, context?: Tensor): Tensor;
}

export interface BlockOptions extends UNetShape {
  layers: number;
  inChannels: number;
  outChannels: number;
  /** Makes the attention after each ResNet block; null in blocks without. */
  attention: (() => SpatialAttention) | null;
}

/** silu(time embedding) and, of models that take one, the encoded prompt. */
export interface Conditioning {
  temb: Tensor;
  context?: Tensor;
}

/** CrossAttnDownBlock2D, AttnDownBlock2D and, without attentions, DownBlock2D. */
export class DownBlock2D extends Module {
  readonly resnets: readonly ResnetBlock2D[];
  readonly attentions: readonly SpatialAttention[] | null;
  readonly downsamplers: readonly [Downsample2D] | null;

  constructor(options: BlockOptions & { downsample: boolean; downsamplePadding: number }) {
    super();
    const { layers, inChannels, outChannels, attention } = options;
    this.resnets = Array.from(
      { length: layers },
      (_, i) => new ResnetBlock2D({ ...options, inChannels: i === 0 ? inChannels : outChannels }),
    );
    this.attentions = attention && this.resnets.map(() => attention());
    this.downsamplers = options.downsample ? [new Downsample2D(outChannels, options.downsamplePadding)] : null;
  }

  /** @returns every layer's result: all are skip connections, the last goes on to the next block. */
  forward(x: Tensor, { temb, context }: Conditioning): Tensor[] {
    const results: Tensor[] = [];
    let h = x;
    this.resnets.forEach((resnet, i) => {
      const attend = this.attentions?.[i];
      const resolved = resnet.forward(h, temb);
      h = attend ? attend.forward(resolved, context) : resolved;
      if (attend) resolved.dispose();
      results.push(h);
    });
    if (this.downsamplers) results.push(this.downsamplers[0].forward(h));
    return results;
  }
}

/** UNetMidBlock2DCrossAttn and UNetMidBlock2D: ResNet block, attention where there is one, ResNet block. */
export class MidBlock2D extends Module {
  readonly attentions: readonly [SpatialAttention | null];
  readonly resnets: readonly [ResnetBlock2D, ResnetBlock2D];

  constructor(options: Omit<BlockOptions, "layers">) {
    super();
    this.attentions = [options.attention && options.attention()];
    this.resnets = [new ResnetBlock2D(options), new ResnetBlock2D(options)];
  }

  forward(x: Tensor, { temb, context }: Conditioning): Tensor {
    return x.device.scope(() => {
      const first = this.resnets[0].forward(x, temb);
      return this.resnets[1].forward(this.attentions[0]?.forward(first, context) ?? first, temb);
    });
  }
}

/** CrossAttnUpBlock2D, AttnUpBlock2D and, without attentions, UpBlock2D. Each layer takes one skip connection. */
export class UpBlock2D extends Module {
  readonly resnets: readonly ResnetBlock2D[];
  readonly attentions: readonly SpatialAttention[] | null;
  readonly upsamplers: readonly [Upsample2D] | null;

  /** @param options inChannels: of the block below; skipChannels: of the skip connection of the last layer */
  constructor(options: BlockOptions & { skipChannels: number; upsample: boolean }) {
    super();
    const { layers, inChannels, outChannels, skipChannels, attention } = options;
    this.resnets = Array.from({ length: layers }, (_, i) => {
      const from = i === 0 ? inChannels : outChannels;
      const skip = i === layers - 1 ? skipChannels : outChannels;
      return new ResnetBlock2D({ ...options, inChannels: from + skip });
    });
    this.attentions = attention && this.resnets.map(() => attention());
    this.upsamplers = options.upsample ? [new Upsample2D(outChannels)] : null;
  }

  /**
   * @param skips taken from the end, one per layer, and disposed
   * @param size of the upsampled result where it is not simply the double
   */
  forward(x: Tensor, skips: Tensor[], { temb, context }: Conditioning, size?: readonly [number, number]): Tensor {
    return x.device.scope(() => {
      let h = x;
      const advance = (next: Tensor): void => {
        if (h !== x) h.dispose();
        h = next;
      };
      this.resnets.forEach((resnet, i) => {
        const skip = skips.pop();
        if (!skip) throw new Error("UpBlock2D: fewer skip connections than layers");
        advance(concat(h, skip, 3));
        skip.dispose();
        advance(resnet.forward(h, temb));
        if (this.attentions) advance(this.attentions[i].forward(h, context));
      });
      if (this.upsamplers) advance(this.upsamplers[0].forward(h, size));
      return h;
    });
  }
}
