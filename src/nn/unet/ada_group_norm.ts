/** A group norm whose scale and shift come from the time embedding, diffusers/models/normalization.py. */
import { modulate } from "../../tensor/ops/modulate.js";
import { groupNorm } from "../../tensor/ops/norm.js";
import { Tensor } from "../../tensor/tensor.js";
import type { Activation } from "../activations.js";
import { Linear } from "../layers.js";
import { Module } from "../module.js";
import type { TimeConditioning } from "../resnet.js";

export class AdaGroupNorm extends Module {
  readonly linear: Linear;
  readonly #groups: number;
  readonly #eps: number;

  constructor(tembChannels: number, channels: number, groups: number, eps: number) {
    super();
    if (groups === 0 || channels % groups !== 0)
      throw new RangeError(`AdaGroupNorm: ${groups} groups of about 32 do not divide ${channels} channels`);
    this.linear = new Linear(tembChannels, 2 * channels);
    this.#groups = groups;
    this.#eps = eps;
  }

  /**
   * @param x [batch, height, width, channels]
   * @param time of the time embedding, for all layers of the network: see TimeProjections
   */
  forward(x: Tensor, { time }: TimeConditioning, activation: Activation = "none"): Tensor {
    return x.device.scope(() => {
      const channels = x.shape[3];
      const { device, dtype } = x;
      // The kernel always has a weight and a bias; these are kept with the layer.
      const constant = (value: number): Tensor =>
        Tensor.from(new Float32Array(channels).fill(value), [channels], { device, dtype });
      const [ones, zeros] = this.linear.weight.holder.value.memo(this, () => [constant(1), constant(0)]);
      const normed = groupNorm(x, ones, zeros, { groups: this.#groups, eps: this.#eps });
      return modulate(normed, time.get(this.linear)!, { activation });
    });
  }
}
