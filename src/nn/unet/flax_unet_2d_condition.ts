import { GEGLU } from "../attention.js";
import { UNet2DConditionModel } from "./unet_2d_condition.js";

/**
 * The UNet as diffusers' FlaxUNet2DConditionModel computes it: FlaxGEGLU takes JAX's default gelu, the approximation by tanh,
 * which moves the output by 2e-4 of its standard deviation. Weights and configs are those of UNet2DConditionModel.
 */
export class FlaxUNet2DConditionModel extends UNet2DConditionModel {
  static override readonly className = "FlaxUNet2DConditionModel";
  static readonly fileClass = "UNet2DConditionModel";

  /** @param config as UNet2DConditionModel's */
  constructor(config: Readonly<Record<string, unknown>> = {}) {
    super(config);
    for (const [, module] of this.modules()) if (module instanceof GEGLU) module.approximate = "tanh";
  }
}
