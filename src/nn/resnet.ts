/** ResNet blocks and resampling, diffusers/models/resnet.py, downsampling.py, upsampling.py. */
import { upsampleNearest } from "../tensor/ops/shape.js";
import type { Tensor } from "../tensor/tensor.js";
import { Conv2d, GroupNorm, Linear, sequence } from "./layers.js";
import { Module } from "./module.js";

export interface ResnetOptions {
  inChannels: number;
  outChannels: number;
  /** Width of the time embedding; null in the VAE. */
  tembChannels: number | null;
  groups: number;
  eps: number;
}

/** h = conv2(silu(norm2(conv1(silu(norm1(x))) + time_emb_proj(temb)))) + shortcut(x). */
export class ResnetBlock2D extends Module {
  readonly norm1: GroupNorm;
  readonly conv1: Conv2d;
  readonly time_emb_proj: Linear | null;
  readonly norm2: GroupNorm;
  readonly conv2: Conv2d;
  readonly conv_shortcut: Conv2d | null;

  constructor({ inChannels, outChannels, tembChannels, groups, eps }: ResnetOptions) {
    super();
    this.norm1 = new GroupNorm(groups, inChannels, eps);
    this.conv1 = new Conv2d(inChannels, outChannels);
    this.time_emb_proj = tembChannels === null ? null : new Linear(tembChannels, outChannels);
    this.norm2 = new GroupNorm(groups, outChannels, eps);
    this.conv2 = new Conv2d(outChannels, outChannels);
    this.conv_shortcut = inChannels === outChannels ? null : new Conv2d(inChannels, outChannels, { kernel: 1 });
  }

  /**
   * @param x [batch, height, width, inChannels]
   * @param temb silu(time embedding) [batch, tembChannels]
   */
  forward(x: Tensor, temb?: Tensor): Tensor {
    return x.device.scope(() => {
      const shift = temb && this.time_emb_proj?.forward(temb);
      const residual = this.conv_shortcut?.forward(x) ?? x;
      return sequence(x, [
        (h) => this.norm1.forward(h, { silu: true }),
        (h) => this.conv1.forward(h, { shift }),
        (h) => this.norm2.forward(h, { silu: true }),
        (h) => this.conv2.forward(h, { residual }),
      ]);
    });
  }
}

/** A convolution of stride 2. The VAE pads right and bottom only ("padding" 0 in diffusers), the UNet all sides. */
export class Downsample2D extends Module {
  readonly conv: Conv2d;

  constructor(channels: number, padding: number) {
    super();
    this.conv = new Conv2d(channels, channels, { stride: 2, padding: padding === 0 ? [0, 1, 0, 1] : padding });
  }

  forward(x: Tensor): Tensor {
    return this.conv.forward(x);
  }
}

/** Nearest-neighbour doubling (or to `size`, where a skip connection has an odd one) and a convolution. */
export class Upsample2D extends Module {
  readonly conv: Conv2d;

  constructor(channels: number) {
    super();
    this.conv = new Conv2d(channels, channels);
  }

  forward(x: Tensor, size?: readonly [height: number, width: number]): Tensor {
    const [, height, width] = x.shape;
    if (!size || (size[0] === 2 * height && size[1] === 2 * width)) return this.conv.forward(x, { upsample: true });
    return x.device.scope(() => this.conv.forward(upsampleNearest(x, size)));
  }
}
