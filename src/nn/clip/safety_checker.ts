/** Stable Diffusion's filter for pictures, diffusers/pipelines/stable_diffusion/safety_checker.py. */
import { NumericalError } from "../../tensor/errors.js";
import type { Tensor } from "../../tensor/tensor.js";
import { checkTensor } from "../check_tensor.js";
import { Linear } from "../layers.js";
import { Module, Parameter } from "../module.js";
import { PretrainedModel } from "../weights/pretrained.js";
import { CLIPVisionTransformer } from "./clip_vision_transformer.js";
import { SAFETY_CHECKER_SCHEMA, safetyCheckerConfig, type SafetyCheckerConfig } from "./safety_checker_config.js";
import { scoreConcepts, type SafetyScores } from "./safety_scores.js";

/** Concepts that it knows, and those that make it look closer. */
const CONCEPTS = 17;
const SPECIAL_CARE = 3;

/** What StableDiffusionSafetyChecker.forward() finds, per picture. */
export interface SafetyCheckerOutput {
  /** Whether any concept is in it: diffusers paints it black. */
  hasNsfwConcepts: boolean[];
  scores: SafetyScores[];
}

/**
 * Compares pictures with 17 concepts in CLIP's space: whether they are in it, by thresholds of each. A pipeline that has one, and a
 * feature extractor, paints such pictures black.
 * @example
 * const { pixelValues } = featureExtractor(images);
 * const { hasNsfwConcepts } = await safetyChecker.forward(pixelValues);
 */
export class StableDiffusionSafetyChecker extends PretrainedModel<SafetyCheckerConfig> {
  static readonly className = "StableDiffusionSafetyChecker";
  static override readonly weightStem = "model";
  static override readonly modelType = "clip";
  static readonly defaults = SAFETY_CHECKER_SCHEMA.defaults;
  /** Two levels, as all published files have it. */
  readonly vision_model: CLIPVision;
  readonly visual_projection: Linear;
  readonly concept_embeds: Parameter;
  readonly special_care_embeds: Parameter;
  readonly concept_embeds_weights: Parameter;
  readonly special_care_embeds_weights: Parameter;

  constructor(given: Readonly<Record<string, unknown>> = {}) {
    const name = StableDiffusionSafetyChecker.className;
    super({ name, ...SAFETY_CHECKER_SCHEMA }, safetyCheckerConfig(name, given));
    const { vision_config: vision, projection_dim: width } = this.config;
    this.vision_model = new CLIPVision(vision);
    this.visual_projection = new Linear(vision.hidden_size, width, { bias: false });
    this.concept_embeds = new Parameter([CONCEPTS, width]);
    this.special_care_embeds = new Parameter([SPECIAL_CARE, width]);
    this.concept_embeds_weights = new Parameter([CONCEPTS]);
    this.special_care_embeds_weights = new Parameter([SPECIAL_CARE]);
  }

  override get library(): "stable_diffusion" {
    return "stable_diffusion";
  }

  /**
   * Where pictures are in CLIP's space.
   * @param clipInput [batch, channels, image_size, image_size], normalized as CLIPImageProcessor does
   * @returns [batch, projection_dim]; the caller disposes it
   * @throws TypeError, RangeError for what is no such tensor
   */
  embed(clipInput: Tensor): Tensor {
    checkTensor(StableDiffusionSafetyChecker.className, "clipInput", clipInput);
    return clipInput.device.scope(() =>
      this.visual_projection.forward(this.vision_model.vision_model.forward(clipInput).pooledOutput),
    );
  }

  /**
   * Looks at pictures. Unlike Python's it does not take the pictures themselves, and paints none black.
   * @param clipInput [batch, channels, image_size, image_size], normalized as CLIPImageProcessor does
   * @throws TypeError, RangeError for what is no such tensor; NumericalError where embeddings are infinite or NaN
   */
  async forward(clipInput: Tensor): Promise<SafetyCheckerOutput> {
    const embeds = this.embed(clipInput);
    try {
      const known = [
        this.special_care_embeds,
        this.special_care_embeds_weights,
        this.concept_embeds,
        this.concept_embeds_weights,
      ];
      // One wait for all.
      const [images, care, careWeights, concepts, conceptWeights] = await Promise.all(
        [embeds, ...known.map(({ value }) => value)].map(readAll),
      );
      if (!images.every(Number.isFinite)) throw new NumericalError({ module: "safety_checker" });
      const width = this.config.projection_dim;
      const scores = Array.from({ length: embeds.shape[0] }, (_, i) =>
        scoreConcepts(images.subarray(i * width, (i + 1) * width), {
          specialCare: { embeds: care, weights: careWeights },
          concepts: { embeds: concepts, weights: conceptWeights },
        }),
      );
      return { hasNsfwConcepts: scores.map(({ badConcepts }) => badConcepts.length > 0), scores };
    } finally {
      embeds.dispose();
    }
  }
}

const readAll = async (tensor: Tensor): Promise<Float32Array> => Float32Array.from(await tensor.data());

/** A level of the key path, transformers' CLIPVisionModel until version 5. */
class CLIPVision extends Module {
  readonly vision_model: CLIPVisionTransformer;

  constructor(config: SafetyCheckerConfig["vision_config"]) {
    super();
    this.vision_model = new CLIPVisionTransformer(config);
  }
}
