/** The components of Stable Diffusion 1.x and 2.x with ControlNets. */
import { StableDiffusionBase } from "../stable_diffusion/stable_diffusion_base.js";
import type { StableDiffusionComponents } from "../stable_diffusion/stable_diffusion_options.js";
import {
  ANY_CONTROLNET,
  CONTROLNET_KINDS,
  controlNetsOf,
  type ControlNetComponent,
  type ControlNets,
} from "./controlnet_component.js";

/** Parts by their names in model_index.json; see StableDiffusionComponents. */
export type ControlNetComponents = StableDiffusionComponents & ControlNetComponent;

export abstract class StableDiffusionControlNetBase extends StableDiffusionBase {
  static override readonly componentNames = [...StableDiffusionBase.componentNames, "controlnet"];
  static override readonly componentClasses = { ...StableDiffusionBase.componentClasses, controlnet: ANY_CONTROLNET };
  protected override readonly classOfChannels = {
    4: "StableDiffusionControlNetPipeline",
    8: "StableDiffusionInstructPix2PixPipeline",
    9: "StableDiffusionControlNetInpaintPipeline",
  };
  /** Classes that `controlnet` may be of. */
  readonly controlNetKinds = CONTROLNET_KINDS;
  /** Another one may be assigned; a list of them as `new MultiControlNetModel(list)`. */
  controlnet: ControlNets;

  constructor(components: ControlNetComponents) {
    super(components);
    this.controlnet = controlNetsOf(components);
  }

  override get components(): ControlNetComponents {
    return super.components as ControlNetComponents;
  }
}
