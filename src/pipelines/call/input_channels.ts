/** What goes through the denoising loop beside the latents, as channels of the UNet's input. */
import type { Tensor } from "../../tensor/tensor.js";
import type { CallbackTensors } from "../stable_diffusion/stable_diffusion_options.js";
import type { Returned } from "./callback_tensors.js";

/** A mask, a picture: of one call, disposed with it. */
export interface InputChannels {
  /**
   * What the UNet takes.
   * @param x latents as the scheduler scales them, with guidance the same for each branch
   */
  input(x: Tensor): Tensor;
  /**
   * The latents of a step as the next one begins with them. Default: as they are.
   * @param next timestep, none after the last step
   */
  keep?(latents: Tensor, next: number | undefined): Tensor;
  /** For a callback. */
  readonly callbackTensors: CallbackTensors;
  /** Takes what a callback returned. */
  replace(returned: Returned): void;
  dispose(): void;
}
