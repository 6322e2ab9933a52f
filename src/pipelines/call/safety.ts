/** The safety checker of Stable Diffusion's pipelines: run_safety_checker, diffusers/pipelines/stable_diffusion/pipeline_stable_diffusion.py. */
import { StableDiffusionSafetyChecker } from "../../nn/clip/safety_checker.js";
import type { DType } from "../../tensor/dtype.js";
import { CLIPImageProcessor } from "../images/clip_image_processor.js";
import type { RawImage } from "../images/raw_image.js";
import { needComponent } from "../loading/needed_components.js";

/** Looks at pictures: which of them are to be black. */
export type Inspector = (pictures: readonly RawImage[]) => Promise<boolean[]>;

/** What a pipeline has for it. */
export interface SafetyComponents {
  readonly safety_checker?: unknown;
  readonly feature_extractor?: unknown;
}

const CHECKER = { classes: [StableDiffusionSafetyChecker], purpose: "to look at pictures, or null for none" };
const EXTRACTOR = {
  classes: [CLIPImageProcessor],
  purpose: "for the safety checker; safety_checker: null does without",
};

/**
 * Says that there is no safety checker where one is required and `null` was given for it.
 * @throws TypeError for a safety checker without a feature extractor, and for what is none
 */
export function checkSafety(
  className: string,
  { safety_checker, feature_extractor, requires_safety_checker = true }: SafetyComponents & Record<string, unknown>,
): void {
  if (safety_checker === null && requires_safety_checker)
    console.warn(
      `You have disabled the safety checker for ${className} by passing \`safety_checker: null\`. Ensure` +
        " that you abide to the conditions of the Stable Diffusion license and do not expose unfiltered results in" +
        " services or applications open to the public. Both the diffusers team and Hugging Face strongly recommend to" +
        " keep the safety filter enabled in all public facing circumstances, disabling it only for use-cases that" +
        " involve analyzing network behavior or auditing its results. For more information, please have a look at" +
        " https://github.com/huggingface/diffusers/pull/254 .",
    );
  if (safety_checker === null || safety_checker === undefined) return;
  if (feature_extractor === null || feature_extractor === undefined)
    throw new TypeError(
      "Make sure to define a feature extractor when loading StableDiffusionPipeline if you want to use the safety" +
        " checker. If you do not want to use the safety checker, you can pass `safety_checker: null` instead.",
    );
  needComponent(className, "safety_checker", safety_checker, CHECKER);
}

/**
 * @param dtype of the checker's input, before the checker's own: that of the prompts' embeddings, as in diffusers
 * @returns null where there is no checker
 * @throws TypeError for a checker that cannot be used
 */
export function inspector(
  className: string,
  { safety_checker: checker, feature_extractor: extractor }: SafetyComponents,
): ((dtype: DType) => Inspector) | null {
  if (checker === null) return null;
  needComponent(className, "safety_checker", checker, CHECKER);
  needComponent(className, "feature_extractor", extractor, EXTRACTOR);
  const [model, processor] = [checker as StableDiffusionSafetyChecker, extractor as CLIPImageProcessor];
  return (dtype) => async (pictures) => {
    const { pixelValues } = processor(pictures, { device: model.device, dtype });
    try {
      const { hasNsfwConcepts } = await model.forward(pixelValues);
      if (hasNsfwConcepts.includes(true))
        console.warn(
          "Potential NSFW content was detected in one or more images. A black image will be returned instead." +
            " Try again with a different prompt and/or seed.",
        );
      return hasNsfwConcepts;
    } finally {
      pixelValues.dispose();
    }
  };
}
