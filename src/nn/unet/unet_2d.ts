import { inOwnSpelling } from "../../arguments/spelling.js";
import { cast } from "../../tensor/ops/copy.js";
import { add } from "../../tensor/ops/elementwise.js";
import { mixSamples } from "../../tensor/ops/per_sample.js";
import type { Tensor } from "../../tensor/tensor.js";
import { embedClasses, type ClassLabels } from "./class_embedding.js";
import { unet2DOptions, unet2DSchema, type UNet2DConfig } from "./unet_2d_config.js";
import { checkSample, timestepsFor, UNetTrunk } from "./unet_2d_trunk.js";

/** Options of UNet2DModel.forward(). */
export interface UNet2DForwardOptions {
  /** Of class-conditional models: numbers or int32 [batch], or vectors [batch, width], as class_embed_type says. */
  classLabels?: ClassLabels;
}

/** The UNet of unconditional models: DDPM (Ho et al. 2020, arXiv 2006.11239), NCSN++. diffusers: models/unets/unet_2d.py */
export class UNet2DModel extends UNetTrunk<UNet2DConfig> {
  static readonly className = "UNet2DModel";
  static readonly defaults = unet2DSchema.defaults;

  constructor(given: Readonly<Record<string, unknown>> = {}) {
    super(unet2DSchema, given, unet2DOptions);
  }

  /**
   * Predicts the noise (or v, or the sample: the scheduler's prediction_type says which).
   * @param sample [batch, in_channels, height, width]; height and width are multiples of 2 ** (levels - 1)
   * @param timestep one for the batch, or one per image; the noise level of models with time_embedding_type "fourier"
   * @returns sample [batch, out_channels, height, width] in the dtype of `sample`
   * @throws RangeError for other shapes; TypeError for class labels that the config has no use for, or that it lacks
   */
  forward(
    sample: Tensor,
    timestep: number | readonly number[],
    options: UNet2DForwardOptions = {},
  ): { sample: Tensor } {
    const { classLabels } = inOwnSpelling(options, ["classLabels"], "UNet2DModel.forward");
    const { config } = this;
    checkSample("UNet2DModel", sample, config.in_channels);
    const [batch, , height, width] = sample.shape;
    const multiple = 2 ** (config.block_out_channels.length - 1);
    if (height % multiple !== 0 || width % multiple !== 0)
      throw new RangeError(
        `UNet2DModel: height and width of sample must be multiples of ${multiple}, got ${height} and ${width}`,
      );
    const timesteps = timestepsFor("UNet2DModel", timestep, batch);
    return sample.device.scope(() => {
      const time = this.embedTime(timesteps, sample.device);
      const classes = embedClasses("UNet2DModel", this.class_embedding, classLabels, this.embedContext(sample));
      const conditioning = this.timeConditioning(this.timeProducts(classes ? add(time, classes) : time));
      let y = this.run(sample, conditioning, config.center_input_sample);
      if (config.time_embedding_type === "fourier")
        y = mixSamples(
          y,
          y,
          timesteps.map((level) => [1 / level, 0]),
        );
      return { sample: y.dtype === sample.dtype ? y : cast(y, sample.dtype) };
    });
  }
}
