/** The components of Stable Diffusion XL with ControlNets. */
import type { StableDiffusionXLComponents } from "../stable_diffusion_xl/stable_diffusion_xl_options.js";
import { StableDiffusionXLBase } from "../stable_diffusion_xl/stable_diffusion_xl_base.js";
import {
  ANY_CONTROLNET,
  CONTROLNET_KINDS,
  controlNetsOf,
  type ControlNetComponent,
  type ControlNets,
} from "./controlnet_component.js";
import { StableDiffusionXLSteered } from "./stable_diffusion_xl_steered.js";

/** Parts by their names in model_index.json; see StableDiffusionXLComponents. */
export type XLControlNetComponents = StableDiffusionXLComponents & ControlNetComponent;

export abstract class StableDiffusionXLControlNetBase extends StableDiffusionXLSteered<ControlNets> {
  static override readonly componentNames = [...StableDiffusionXLBase.componentNames, "controlnet"];
  static override readonly componentClasses = { ...StableDiffusionXLBase.componentClasses, controlnet: ANY_CONTROLNET };
  protected override readonly classOfChannels = {
    4: "StableDiffusionXLControlNetPipeline",
    8: "StableDiffusionXLInstructPix2PixPipeline",
    9: "StableDiffusionXLControlNetInpaintPipeline",
  };
  override readonly controlNetKinds = CONTROLNET_KINDS;
  /** Another one may be assigned; a list of them as `new MultiControlNetModel(list)`. */
  override controlnet: ControlNets;

  constructor(components: XLControlNetComponents) {
    super(components);
    this.controlnet = controlNetsOf(components);
  }

  override get components(): XLControlNetComponents {
    return super.components as XLControlNetComponents;
  }
}
