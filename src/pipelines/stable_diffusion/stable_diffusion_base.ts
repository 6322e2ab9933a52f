/** The components of Stable Diffusion 1.x and 2.x, whatever a call begins with. */
import type { CLIPVisionModelWithProjection } from "../../nn/clip/clip_vision_model.js";
import type { StableDiffusionSafetyChecker } from "../../nn/clip/safety_checker.js";
import { checkSafety } from "../call/safety.js";
import type { CLIPImageProcessor } from "../images/clip_image_processor.js";
import { PromptedDiffusion } from "./prompted_diffusion.js";
import { patchLegacyConfigs, type PatchedKey } from "./stable_diffusion_config.js";
import type { StableDiffusionComponents } from "./stable_diffusion_options.js";

export abstract class StableDiffusionBase extends PromptedDiffusion {
  static override readonly componentNames = [
    ...PromptedDiffusion.componentNames,
    "safety_checker",
    "feature_extractor",
    "image_encoder",
  ];
  static override readonly optionalNames = ["safety_checker", "feature_extractor", "image_encoder"];
  static override readonly initArguments = { requires_safety_checker: true };
  /**
   * What diffusers' constructor sets right in a scheduler's config of 2022, beside steps_offset and the UNet's sample_size; null of
   * classes that take configs as they are.
   */
  protected static readonly patchedKey: PatchedKey | null = null;
  /** Looks at each picture that is drawn, and has some be black; null for none. */
  safety_checker: StableDiffusionSafetyChecker | null;
  /** Makes pictures as the safety checker takes them. */
  feature_extractor: CLIPImageProcessor | null;
  /** For pictures as prompts, see loadIpAdapter(). */
  image_encoder: CLIPVisionModelWithProjection | null;

  constructor(components: StableDiffusionComponents) {
    super(components);
    checkSafety(this.className, components);
    this.safety_checker = components.safety_checker ?? null;
    this.feature_extractor = components.feature_extractor ?? null;
    this.image_encoder = components.image_encoder ?? null;
    const { requires_safety_checker = true } = components;
    this.remember({ requires_safety_checker });
    const { patchedKey } = this.constructor as typeof StableDiffusionBase;
    if (patchedKey) patchLegacyConfigs(components, patchedKey);
  }

  override get components(): StableDiffusionComponents {
    return super.components as StableDiffusionComponents;
  }
}
