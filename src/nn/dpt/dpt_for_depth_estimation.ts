/** Depth of pictures (Ranftl et al. 2021, Vision Transformers for Dense Prediction), transformers' DPTForDepthEstimation (modeling_dpt.py). */
import { bilinear } from "../../tensor/ops/bilinear.js";
import { cast, toNHWC } from "../../tensor/ops/copy.js";
import type { Tensor } from "../../tensor/tensor.js";
import { checkImages } from "../check_tensor.js";
import { Conv2d, LayerNorm, sequence } from "../layers.js";
import { Module } from "../module.js";
import { PretrainedModel } from "../weights/pretrained.js";
import { checkFeatures, DPT_SCHEMA, dptConfig, type DPTConfig } from "./dpt_config.js";
import { DPTEmbeddings } from "./dpt_embeddings.js";
import { DPTEncoder } from "./dpt_encoder.js";
import { DPTNeck } from "./dpt_neck.js";

/** What DPTForDepthEstimation.forward() predicts. The caller disposes the tensor. */
export interface DepthEstimatorOutput {
  /** Relative inverse depth, the larger the nearer, from 0 on: [batch, height, width], about the size of the pictures. */
  predictedDepth: Tensor;
}

class DPTModel extends Module {
  readonly embeddings: DPTEmbeddings;
  readonly encoder: DPTEncoder;
  /** Files have it; the neck reads what comes before it. */
  readonly layernorm: LayerNorm;
  readonly #wanted: readonly number[];

  constructor(name: string, config: DPTConfig) {
    super();
    const { backbone_out_indices: indices, is_hybrid, hidden_size, layer_norm_eps: eps } = config;
    this.embeddings = new DPTEmbeddings(name, config);
    this.encoder = new DPTEncoder(config);
    this.layernorm = new LayerNorm(hidden_size, eps);
    this.#wanted = is_hybrid ? indices.slice(2) : indices;
  }

  /** @param x NHWC @returns the features of the neck, the largest first */
  forward(x: Tensor): Tensor[] {
    const { tokens, maps } = this.embeddings.forward(x);
    return [...maps, ...this.encoder.forward(tokens, this.#wanted)];
  }
}

/** Channels before the last convolution, and those of a projection, whatever the config says. */
const LAST = 32;
const PROJECTED = 256;

class DPTDepthEstimationHead extends Module {
  readonly projection: Conv2d | null;
  readonly head: readonly [Conv2d, null, Conv2d, null, Conv2d];

  constructor({ fusion_hidden_size: width, add_projection }: DPTConfig) {
    super();
    const half = width >> 1;
    this.projection = add_projection ? new Conv2d(PROJECTED, PROJECTED) : null;
    this.head = [new Conv2d(width, half), null, new Conv2d(half, LAST), null, new Conv2d(LAST, 1, { kernel: 1 })];
  }

  /** @param x [batch, height, width, fusion_hidden_size] @returns [batch, 2 height, 2 width, 1] */
  forward(x: Tensor): Tensor {
    const { projection } = this;
    const [first, , second, , last] = this.head;
    return sequence(x, [
      (h) => projection?.forward(h, { activation: "relu" }) ?? h,
      (h) => first.forward(h),
      (h) => bilinear(h, [2 * h.shape[1], 2 * h.shape[2]], { corners: true }),
      (h) => second.forward(h, { activation: "relu" }),
      (h) => last.forward(h, { activation: "relu" }),
    ]);
  }
}

/**
 * How near things in pictures are, by a transformer (a "hybrid" one with BiT before it, as in stabilityai/stable-diffusion-2-depth) whose
 * layers are put together as images.
 * @example
 * const { predictedDepth } = estimator.forward(processor(images).pixelValues); // of a DPTImageProcessor
 */
export class DPTForDepthEstimation extends PretrainedModel<DPTConfig> {
  static readonly className = "DPTForDepthEstimation";
  static override readonly weightStem = "model";
  static override readonly modelType = "dpt";
  static readonly defaults = DPT_SCHEMA.defaults;
  readonly dpt: DPTModel;
  readonly neck: DPTNeck;
  readonly head: DPTDepthEstimationHead;

  constructor(given: Readonly<Record<string, unknown>> = {}) {
    const name = DPTForDepthEstimation.className;
    super({ ...DPT_SCHEMA, name }, dptConfig(name, given));
    checkFeatures(name, this.config);
    this.dpt = new DPTModel(name, this.config);
    this.neck = new DPTNeck(this.config);
    this.head = new DPTDepthEstimationHead(this.config);
  }

  /**
   * Estimates the depth of pictures.
   * @param pixelValues [batch, num_channels, height, width], normalized as DPTImageProcessor does; as many patches high as wide, of a
   *   hybrid image_size pixels
   * @throws TypeError, RangeError for what is no such tensor
   */
  forward(pixelValues: Tensor): DepthEstimatorOutput {
    const { num_channels: channels, image_size: side, is_hybrid, patch_size: patch } = this.config;
    checkImages(DPTForDepthEstimation.className, pixelValues, channels);
    const [batch, , height, width] = pixelValues.shape;
    const what = `${DPTForDepthEstimation.className}: takes pictures of`;
    if (is_hybrid && (height !== side || width !== side))
      throw new RangeError(`${what} ${side}x${side} pixels (image_size), got ${width}x${height}`);
    const [rows, columns] = [height, width].map((pixels) => Math.floor(pixels / patch));
    if (rows === 0 || rows !== columns)
      throw new RangeError(`${what} as many patches of ${patch} pixels high as wide, got ${width}x${height} pixels`);
    const predictedDepth = pixelValues.device.scope(() => {
      const image = toNHWC(pixelValues);
      const features = this.dpt.forward(image.dtype === this.dtype ? image : cast(image, this.dtype));
      const depth = this.head.forward(this.neck.forward(features));
      const [, outHeight, outWidth] = depth.shape;
      return depth.reshape([batch, outHeight, outWidth]);
    });
    return { predictedDepth };
  }
}
