/** The picture that InstructPix2Pix edits, diffusers/pipelines/stable_diffusion/pipeline_stable_diffusion_instruct_pix2pix.py. */
import { concat } from "../../tensor/ops/shape.js";
import type { Tensor } from "../../tensor/tensor.js";
import { replace, type Returned } from "../call/callback_tensors.js";
import { EDIT_GUIDANCE, promptRows } from "../call/guidance.js";
import type { InputChannels } from "../call/input_channels.js";
import type { CallbackTensors } from "../stable_diffusion/stable_diffusion_options.js";

export class EditedPicture implements InputChannels {
  #imageLatents: Tensor;

  /** @param imageLatents [rows, channels, height, width], float32; with guidance rows of all branches, zeros of the one without it; disposed */
  constructor(imageLatents: Tensor) {
    this.#imageLatents = imageLatents;
  }

  input(x: Tensor): Tensor {
    return concat(x, promptRows(EDIT_GUIDANCE.branches, this.#imageLatents, x.shape[0]), 1);
  }

  get callbackTensors(): Pick<CallbackTensors, "image_latents"> {
    return { image_latents: this.#imageLatents };
  }

  replace({ image_latents: next }: Returned): void {
    this.#imageLatents = replace(this.#imageLatents, next);
  }

  dispose(): void {
    this.#imageLatents.dispose();
  }
}
