/** The blocks of T2I-Adapters, diffusers/models/adapter.py. */
import type { Tensor } from "../../tensor/tensor.js";
import { Conv2d, sequence } from "../layers.js";
import { Module } from "../module.js";
import { averagePoolWhole } from "../resample.js";

/** x + block2(relu(block1(x))): AdapterResnetBlock, and LightAdapterResnetBlock, whose second convolution sees neighbours, too. */
class AdapterResnetBlock extends Module {
  readonly block1: Conv2d;
  readonly block2: Conv2d;

  constructor(channels: number, kernel: 1 | 3) {
    super();
    this.block1 = new Conv2d(channels, channels);
    this.block2 = new Conv2d(channels, channels, { kernel });
  }

  forward(x: Tensor): Tensor {
    return sequence(x, [
      (h) => this.block1.forward(h, { activation: "relu" }),
      (h) => this.block2.forward(h, { residual: x }),
    ]);
  }
}

export interface AdapterBlockOptions {
  inChannels: number;
  outChannels: number;
  layers: number;
  /** Whether pixels are halved along each side first. */
  down: boolean;
}

/** One level of an adapter: AdapterBlock, or a LightAdapterBlock, which works on a quarter of the channels. */
export class AdapterBlock extends Module {
  readonly in_conv: Conv2d | null;
  readonly resnets: readonly AdapterResnetBlock[];
  readonly out_conv: Conv2d | null;
  readonly #down: boolean;

  constructor({ inChannels, outChannels, layers, down }: AdapterBlockOptions, light: boolean) {
    super();
    const channels = light ? Math.floor(outChannels / 4) : outChannels;
    const pointwise = (from: number, to: number): Conv2d => new Conv2d(from, to, { kernel: 1 });
    this.in_conv = light || inChannels !== outChannels ? pointwise(inChannels, channels) : null;
    this.resnets = Array.from({ length: layers }, () => new AdapterResnetBlock(channels, light ? 3 : 1));
    this.out_conv = light ? pointwise(channels, outChannels) : null;
    this.#down = down;
  }

  /** @param x NHWC */
  forward(x: Tensor): Tensor {
    const { in_conv: first, resnets, out_conv: last } = this;
    return sequence(x, [
      ...(this.#down ? [averagePoolWhole] : []),
      ...[first, ...resnets, last].flatMap((layer) => (layer ? [(h: Tensor) => layer.forward(h)] : [])),
    ]);
  }

  /** What forward() makes of a side of so many pixels. */
  sideOf(pixels: number): number {
    return this.#down ? Math.ceil(pixels / 2) : pixels;
  }
}
