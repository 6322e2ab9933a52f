/** Where pictures lie in CLIP's space, diffusers/pipelines/stable_diffusion/stable_unclip_image_normalizer.py. */
import { standardize } from "../../tensor/ops/standardize.js";
import { toFloat } from "../../tensor/ops/to_float.js";
import type { Tensor } from "../../tensor/tensor.js";
import { checkTensor } from "../check_tensor.js";
import { isCount, type ConfigSchema } from "../config.js";
import { Parameter } from "../module.js";
import { PretrainedModel } from "../weights/pretrained.js";

/** Keys of a StableUnCLIPImageNormalizer's config. */
export interface ImageNormalizerConfig {
  embedding_dim: number;
}

const SCHEMA: ConfigSchema = {
  name: "StableUnCLIPImageNormalizer",
  defaults: { embedding_dim: 768 },
  rules: { embedding_dim: isCount },
};

/** The mean and the deviation of CLIP's embeddings of pictures: unCLIP adds noise to embeddings that are standardized by them. */
export class StableUnCLIPImageNormalizer extends PretrainedModel<ImageNormalizerConfig> {
  static readonly className = "StableUnCLIPImageNormalizer";
  static readonly defaults = SCHEMA.defaults;
  readonly mean: Parameter;
  readonly std: Parameter;

  constructor(given: Readonly<Record<string, unknown>> = {}) {
    super(SCHEMA, given);
    const shape = [1, this.config.embedding_dim];
    this.mean = new Parameter(shape);
    this.std = new Parameter(shape);
  }

  override get library(): "stable_diffusion" {
    return "stable_diffusion";
  }

  /**
   * (embeds - mean) / std.
   * @param embeds [batch, embedding_dim]
   * @returns the same shape, float32; the caller disposes it
   * @throws TypeError, RangeError for what is no such tensor
   */
  scale(embeds: Tensor): Tensor {
    return this.#moved(embeds, false);
  }

  /** embeds * std + mean, as scale(). */
  unscale(embeds: Tensor): Tensor {
    return this.#moved(embeds, true);
  }

  #moved(embeds: Tensor, back: boolean): Tensor {
    const { className } = StableUnCLIPImageNormalizer;
    const { embedding_dim: width } = this.config;
    checkTensor(className, `embeds [batch, ${width}]`, embeds);
    if (embeds.shape.length !== 2 || embeds.shape[1] !== width)
      throw new RangeError(`${className}: embeds must be [batch, ${width}], got [${embeds.shape.join(", ")}]`);
    return embeds.device.scope(() => {
      const [x, mean, std] = [embeds, this.mean.value, this.std.value].map(toFloat);
      return standardize(x, { mean, std }, { back });
    });
  }
}
