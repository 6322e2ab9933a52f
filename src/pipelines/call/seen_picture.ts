/** A picture beside the latents in the UNet's input: one to edit, one to enlarge, a map of depth. */
import { concat } from "../../tensor/ops/shape.js";
import type { Tensor } from "../../tensor/tensor.js";
import type { CallbackTensors } from "../stable_diffusion/stable_diffusion_options.js";
import { replace, type Returned } from "./callback_tensors.js";
import { promptRows, type Branches } from "./guidance.js";
import type { InputChannels } from "./input_channels.js";

/** What callbacks may see it as. */
type SeenName = "image_latents" | "depth_mask";

export class SeenPicture implements InputChannels {
  readonly #branches: Branches;
  readonly #name?: SeenName;
  #channels: Tensor;

  /**
   * @param branches of the guidance
   * @param channels [rows, channels, height, width], float32; with guidance rows of all branches; disposed
   * @param name what callbacks see it as; default: they do not
   */
  constructor(branches: Branches, channels: Tensor, name?: SeenName) {
    this.#branches = branches;
    this.#channels = channels;
    this.#name = name;
  }

  input(x: Tensor): Tensor {
    return concat(x, promptRows(this.#branches, this.#channels, x.shape[0]), 1);
  }

  get callbackTensors(): CallbackTensors {
    return this.#name ? { [this.#name]: this.#channels } : {};
  }

  replace(returned: Returned): void {
    if (this.#name) this.#channels = replace(this.#channels, returned[this.#name]);
  }

  dispose(): void {
    this.#channels.dispose();
  }
}
