/** CLIP's vision encoder with a projection (Radford et al. 2021), transformers' CLIPVisionModelWithProjection. */
import { inOwnSpelling } from "../../arguments/spelling.js";
import type { Tensor } from "../../tensor/tensor.js";
import { Linear } from "../layers.js";
import { PretrainedModel } from "../weights/pretrained.js";
import {
  CLIP_VISION_SCHEMA,
  CLIPVisionTransformer,
  type CLIPVisionConfig,
  type CLIPVisionOptions,
} from "./clip_vision_transformer.js";

/** What CLIPVisionModelWithProjection.forward() makes of pictures. The caller disposes the tensors. */
export interface CLIPVisionProjectionOutput {
  /** Where the pictures are in the space shared with texts, [batch, projection_dim]. */
  imageEmbeds: Tensor;
  /** Of all tokens, the class first, [batch, 1 + patches, hidden_size]; not normalized. */
  lastHiddenState: Tensor;
  /** With `outputHiddenStates` what the first layer takes and the result of each, the last of which is lastHiddenState; else none. */
  hiddenStates: Tensor[];
}

/**
 * Pictures to points in the space that they share with texts.
 * @example
 * const { imageEmbeds } = encoder.forward(processor(images).pixelValues); // of a CLIPImageProcessor
 */
export class CLIPVisionModelWithProjection extends PretrainedModel<CLIPVisionConfig> {
  static readonly className = "CLIPVisionModelWithProjection";
  static override readonly weightStem = "model";
  static override readonly modelType = "clip_vision_model";
  static readonly defaults = CLIP_VISION_SCHEMA.defaults;
  readonly vision_model: CLIPVisionTransformer;
  readonly visual_projection: Linear;

  constructor(given: Readonly<Record<string, unknown>> = {}) {
    super({ ...CLIP_VISION_SCHEMA, name: CLIPVisionModelWithProjection.className }, given);
    this.vision_model = new CLIPVisionTransformer(this.config);
    this.visual_projection = new Linear(this.config.hidden_size, this.config.projection_dim, { bias: false });
  }

  /**
   * Encodes pictures.
   * @param pixelValues [batch, num_channels, image_size, image_size], normalized as CLIPImageProcessor does
   * @throws TypeError, RangeError for what is no such tensor; TypeError for other options
   */
  forward(pixelValues: Tensor, given: CLIPVisionOptions = {}): CLIPVisionProjectionOutput {
    const options = inOwnSpelling(given, ["outputHiddenStates"], `${CLIPVisionModelWithProjection.className}.forward`);
    const { lastHiddenState, pooledOutput, hiddenStates } = this.vision_model.forward(pixelValues, options);
    const imageEmbeds = this.visual_projection.forward(pooledOutput);
    pooledOutput.dispose();
    return { imageEmbeds, lastHiddenState, hiddenStates };
  }
}
