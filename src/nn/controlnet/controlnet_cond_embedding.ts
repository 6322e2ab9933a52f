import type { Tensor } from "../../tensor/tensor.js";
import { Conv2d } from "../layers.js";
import { Module } from "../module.js";

/** A ControlNet's way from a picture to features of the latents' size: convolutions with SiLU, every other one of stride 2. */
export class ControlNetConditioningEmbedding extends Module {
  readonly conv_in: Conv2d;
  readonly blocks: readonly Conv2d[];
  readonly conv_out: Conv2d;

  constructor(inChannels: number, widths: readonly number[], outChannels: number) {
    super();
    this.conv_in = new Conv2d(inChannels, widths[0]);
    this.blocks = widths
      .slice(0, -1)
      .flatMap((width, i) => [new Conv2d(width, width), new Conv2d(width, widths[i + 1], { stride: 2 })]);
    this.conv_out = new Conv2d(widths[widths.length - 1], outChannels);
  }

  /** @param x NHWC */
  forward(x: Tensor): Tensor {
    return x.device.scope(() => {
      let h = this.conv_in.forward(x, { activation: "silu" });
      for (const block of this.blocks) {
        const next = block.forward(h, { activation: "silu" });
        h.dispose();
        h = next;
      }
      return this.conv_out.forward(h);
    });
  }

  /** What forward() makes of a side of so many pixels. */
  featuresOf(pixels: number): number {
    return Math.ceil(pixels / 2 ** (this.blocks.length / 2));
  }
}
