/** The components of Stable Diffusion XL with unions of ControlNets. */
import type { StableDiffusionXLComponents } from "../stable_diffusion_xl/stable_diffusion_xl_options.js";
import { StableDiffusionXLBase } from "../stable_diffusion_xl/stable_diffusion_xl_base.js";
import {
  ANY_UNION,
  controlNetUnionsOf,
  UNION_KINDS,
  type ControlNetUnionComponent,
  type ControlNetUnions,
} from "./controlnet_component.js";
import { StableDiffusionXLSteered } from "./stable_diffusion_xl_steered.js";

/** Parts by their names in model_index.json; see StableDiffusionXLComponents. */
export type XLControlNetUnionComponents = StableDiffusionXLComponents & ControlNetUnionComponent;

export abstract class StableDiffusionXLControlNetUnionBase extends StableDiffusionXLSteered<ControlNetUnions> {
  static override readonly componentNames = [...StableDiffusionXLBase.componentNames, "controlnet"];
  static override readonly componentClasses = { ...StableDiffusionXLBase.componentClasses, controlnet: ANY_UNION };
  protected override readonly classOfChannels = {
    4: "StableDiffusionXLControlNetUnionPipeline",
    8: "StableDiffusionXLInstructPix2PixPipeline",
    // None with a union.
    9: "StableDiffusionXLInpaintPipeline",
  };
  override readonly controlNetKinds = UNION_KINDS;
  /** Another one may be assigned; a list of them as `new MultiControlNetUnionModel(list)`. */
  override controlnet: ControlNetUnions;

  constructor(components: XLControlNetUnionComponents) {
    super(components);
    this.controlnet = controlNetUnionsOf(components);
  }

  override get components(): XLControlNetUnionComponents {
    return super.components as XLControlNetUnionComponents;
  }
}
