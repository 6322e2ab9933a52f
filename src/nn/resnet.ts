/** ResNet blocks and resampling, diffusers/models/resnet.py, downsampling.py, upsampling.py. */
import type { Operand } from "../tensor/columns.js";
import { linearCombination } from "../tensor/ops/elementwise.js";
import { modulate } from "../tensor/ops/modulate.js";
import { canJoin } from "../tensor/ops/norm.js";
import { concat, upsampleNearest } from "../tensor/ops/shape.js";
import type { Tensor } from "../tensor/tensor.js";
import { normalized, type Activation } from "./activations.js";
import { Conv2d, GroupNorm, Linear, sequence } from "./layers.js";
import { Module } from "./module.js";
import type { Resample } from "./resample.js";

/** What the layers of TimeProjections make of the time embedding, [batch, out] (or [1, out] for all images) each. */
export interface TimeConditioning {
  time: ReadonlyMap<Linear, Operand>;
}

export interface ResnetOptions {
  inChannels: number;
  outChannels: number;
  /** Width of the time embedding; null in the VAE. */
  tembChannels: number | null;
  groups: number;
  /** Groups of the second norm, by default as many as of the first. */
  groupsOut?: number;
  eps: number;
  /** Default "silu". */
  activation?: Activation;
  /** The time embedding scales and shifts the second norm's result ("scale_shift"), instead of being added before it. */
  scaleShift?: boolean;
  /** time_emb_proj takes the time embedding without the activation. */
  skipTimeAct?: boolean;
  /** Divides the sum of block and shortcut. */
  outputScale?: number;
  /** Applied to both branches, after the first activation. */
  resample?: Resample;
  /** Whether the shortcut is a convolution; by default where the channels change. */
  shortcut?: boolean;
}

/** h = conv2(act(norm2(conv1(act(norm1(x))) + time_emb_proj(act(temb))))) + shortcut(x). */
export class ResnetBlock2D extends Module {
  readonly norm1: GroupNorm;
  readonly conv1: Conv2d;
  readonly time_emb_proj: Linear | null;
  readonly norm2: GroupNorm;
  readonly conv2: Conv2d;
  readonly conv_shortcut: Conv2d | null;
  readonly #options: ResnetOptions;

  constructor(options: ResnetOptions) {
    super();
    const { inChannels, outChannels, tembChannels, groups, groupsOut = groups, eps } = options;
    const { scaleShift = false, shortcut = inChannels !== outChannels } = options;
    this.norm1 = new GroupNorm(groups, inChannels, eps);
    this.conv1 = new Conv2d(inChannels, outChannels);
    this.time_emb_proj = tembChannels === null ? null : new Linear(tembChannels, (scaleShift ? 2 : 1) * outChannels);
    this.norm2 = new GroupNorm(groupsOut, outChannels, eps);
    this.conv2 = new Conv2d(outChannels, outChannels);
    this.conv_shortcut = shortcut ? new Conv2d(inChannels, outChannels, { kernel: 1 }) : null;
    this.#options = options;
  }

  get skipTimeAct(): boolean {
    return this.#options.skipTimeAct ?? false;
  }

  /**
   * @param x [batch, height, width, inChannels]
   * @param skip a skip connection, whose channels come behind those of x: inChannels are those of both
   */
  forward(x: Tensor, conditioning?: TimeConditioning, skip: Tensor | null = null): Tensor {
    const { resample } = this.#options;
    // Both are read where they are; a copy of both is made where something needs one.
    if (skip && (!this.conv_shortcut || resample || !canJoin(x, skip)))
      return x.device.scope(() => this.forward(concat(x, skip, 3), conditioning));
    const { activation = "silu", scaleShift = false, outputScale = 1 } = this.#options;
    return x.device.scope(() => {
      const time = this.time_emb_proj ? conditioning?.time.get(this.time_emb_proj) : undefined;
      const input = resample ? resample(x) : x;
      // In the second convolution's sums the shortcut needs no copy of x and skip, and no residual is written and read. Without
      // skip CPU adapters gain nothing by that (measured), and another kernel takes them seconds to compile.
      const conv = skip || !x.device.isSoftware ? this.conv_shortcut : null;
      const beside = conv ? { conv, sources: skip ? ([x, skip] as const) : ([input] as const) } : undefined;
      const residual = conv ? undefined : (this.conv_shortcut?.forward(input) ?? input);
      return sequence(x, [
        (h) => normalized(this.norm1, h, activation, skip),
        (h) => (resample ? resample(h) : h),
        (h) => this.conv1.forward(h, { shift: scaleShift ? undefined : time }),
        (h) => (scaleShift && time ? this.norm2.forward(h) : normalized(this.norm2, h, activation)),
        (h) => (scaleShift && time ? modulate(h, time, { activation }) : h),
        (h) => this.conv2.forward(h, { residual, beside }),
        (h) => (outputScale === 1 ? h : linearCombination([[1 / outputScale, h]])),
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
