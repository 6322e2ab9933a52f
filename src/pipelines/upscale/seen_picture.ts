/** What an upscaler makes larger, beside the latents in its UNet's input. */
import { concat } from "../../tensor/ops/shape.js";
import type { Tensor } from "../../tensor/tensor.js";
import { PROMPT_GUIDANCE, promptRows } from "../call/guidance.js";
import type { InputChannels } from "../call/input_channels.js";

export class SeenPicture implements InputChannels {
  /** Of diffusers' upscalers none. */
  readonly callbackTensors = {};
  readonly #channels: Tensor;

  /** @param channels [rows, channels, height, width], float32; with guidance rows of both branches; disposed */
  constructor(channels: Tensor) {
    this.#channels = channels;
  }

  input(x: Tensor): Tensor {
    return concat(x, promptRows(PROMPT_GUIDANCE.branches, this.#channels, x.shape[0]), 1);
  }

  replace(): void {}

  dispose(): void {
    this.#channels.dispose();
  }
}
