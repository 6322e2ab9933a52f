import { inOwnSpelling } from "../../arguments/spelling.js";
import type { Tensor } from "../../tensor/tensor.js";
import { checkTensor } from "../check_tensor.js";
import { timestepsFor } from "../unet/unet_2d_trunk.js";
import { controlNetSchema } from "./controlnet_config.js";
import { ControlNetTrunk, type ControlConditions, type ControlNetOutput, type Reading } from "./controlnet_trunk.js";

/** Options of ControlNetModel.forward(). */
export interface ControlNetOptions extends ControlConditions {
  /** Multiplies every result; 1 by default. */
  conditioningScale?: number;
  /** Scales the results from 0.1 (the finest) to 1 (the middle), so that the picture guides without a prompt. */
  guessMode?: boolean;
}

/**
 * A copy of a UNet's first half that reads a picture (edges, depth, a pose) and steers the UNet (Zhang et al. 2023, arXiv
 * 2302.05543). A StableDiffusionControlNetPipeline draws with it; its results may go to unet.forward(), too.
 * diffusers: models/controlnets/controlnet.py
 */
export class ControlNetModel extends ControlNetTrunk {
  static readonly className = "ControlNetModel";
  static readonly defaults = controlNetSchema.defaults;

  constructor(given: Readonly<Record<string, unknown>> = {}) {
    super(controlNetSchema, given);
  }

  /**
   * What is to be added to a UNet's activations, so that its picture follows `controlnetCond`. The caller disposes it.
   * @param sample latents [batch, in_channels, height, width]
   * @param timestep one for the batch, or one per image
   * @param encoderHiddenStates the encoded prompt, [batch, tokens, cross_attention_dim]
   * @param controlnetCond the guiding picture [batch, conditioning_channels, pixels, pixels] in [0, 1]; its sides are those of
   *   the sample times 2 ** (conditioning_embedding_out_channels.length - 1)
   */
  forward(
    sample: Tensor,
    timestep: number | readonly number[],
    encoderHiddenStates: Tensor,
    controlnetCond: Tensor,
    options: ControlNetOptions = {},
  ): ControlNetOutput {
    const known = ["conditioningScale", "guessMode", "addedCondKwargs", "classLabels"];
    const own = inOwnSpelling(options, known, "ControlNetModel.forward");
    for (const [name, tensor] of Object.entries({ sample, encoderHiddenStates, controlnetCond }))
      checkTensor("ControlNetModel", name, tensor);
    this.check(sample.shape, encoderHiddenStates.shape, [controlnetCond.shape]);
    const timesteps = timestepsFor("ControlNetModel", timestep, sample.shape[0]);
    return sample.device.scope(() => {
      const time = this.embedConditions(timesteps, encoderHiddenStates, own);
      const features = this.embedPicture(controlnetCond);
      return this.output(this.predict(sample, time, encoderHiddenStates, features, own), sample);
    });
  }

  override features({ images: [picture] }: Reading): Tensor {
    return picture.memo(this, () => [picture.device.scope(() => this.embedPicture(picture))])[0];
  }
}
