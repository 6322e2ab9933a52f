/** The transformer of CLIP's vision encoders (Radford et al. 2021, after Dosovitskiy et al. 2020), transformers' modeling_clip.py. */
import { cast, slice, toNHWC } from "../../tensor/ops/copy.js";
import { concat, embedding } from "../../tensor/ops/shape.js";
import { Tensor } from "../../tensor/tensor.js";
import { checkImages } from "../check_tensor.js";
import { anything, isCount, isNumber, oneOf, type ConfigSchema } from "../config.js";
import { Conv2d, Embedding, LayerNorm } from "../layers.js";
import { Module, Parameter } from "../module.js";
import { CLIPEncoder, type CLIPEncoderConfig } from "./clip_encoder.js";

/** The keys of the config that are read. */
export interface CLIPVisionConfig extends CLIPEncoderConfig {
  projection_dim: number;
  num_channels: number;
  /** Pixels along each side of the pictures that it takes, and of the squares that they are cut into. */
  image_size: number;
  patch_size: number;
}

export const CLIP_VISION_SCHEMA: Omit<ConfigSchema, "name"> = {
  defaults: {
    hidden_size: 768,
    intermediate_size: 3072,
    projection_dim: 512,
    num_hidden_layers: 12,
    num_attention_heads: 12,
    num_channels: 3,
    image_size: 224,
    patch_size: 32,
    hidden_act: "quick_gelu",
    layer_norm_eps: 1e-5,
    attention_dropout: 0,
    initializer_range: 0.02,
    initializer_factor: 1,
  },
  rules: {
    hidden_size: isCount,
    intermediate_size: isCount,
    projection_dim: isCount,
    num_hidden_layers: isCount,
    num_attention_heads: isCount,
    num_channels: isCount,
    image_size: isCount,
    patch_size: isCount,
    hidden_act: oneOf("quick_gelu", "gelu"),
    layer_norm_eps: isNumber,
    // Of training, and of weights that nobody has trained.
    attention_dropout: anything,
    initializer_range: anything,
    initializer_factor: anything,
  },
};

/** Against configs that are damaged or made to do damage; models have up to a thousand. */
const MAX_PATCHES = 1 << 16;

class CLIPVisionEmbeddings extends Module {
  readonly class_embedding: Parameter;
  readonly patch_embedding: Conv2d;
  readonly position_embedding: Embedding;
  readonly #patches: number;

  constructor({ hidden_size: width, num_channels, image_size, patch_size }: CLIPVisionConfig) {
    super();
    if (patch_size > image_size)
      throw new TypeError(`CLIP: config patch_size = ${patch_size} is larger than image_size = ${image_size}`);
    this.#patches = Math.floor(image_size / patch_size) ** 2;
    if (this.#patches > MAX_PATCHES)
      throw new TypeError(
        `CLIP: config image_size = ${image_size} and patch_size = ${patch_size} make ${this.#patches} patches, more than ${MAX_PATCHES}`,
      );
    this.class_embedding = new Parameter([width]);
    this.patch_embedding = new Conv2d(num_channels, width, {
      kernel: patch_size,
      stride: patch_size,
      padding: 0,
      bias: false,
    });
    this.position_embedding = new Embedding(this.#patches + 1, width);
  }

  /** @param x [batch, height, width, channels] @returns [batch, 1 + patches, hidden_size], the class first */
  forward(x: Tensor): Tensor {
    const { device } = x;
    const [batch] = x.shape;
    const positions = this.position_embedding.weight.value;
    const side = Math.sqrt(this.#patches);
    const width = positions.shape[1];
    /** Rows of a table for each picture. */
    const rows = (ids: readonly number[], table: Tensor, position?: Tensor): Tensor => {
      const all = Int32Array.from({ length: batch * ids.length }, (_, i) => ids[i % ids.length]);
      return embedding(Tensor.from(all, [batch, ids.length], { device }), table, position);
    };
    const places = rows(
      Array.from({ length: this.#patches }, (_, i) => 1 + i),
      positions,
    );
    const patches = this.patch_embedding.forward(x, { residual: places.reshape([batch, side, side, width]) });
    const first = rows([0], this.class_embedding.value.reshape([1, width]), positions);
    return concat(first, patches.reshape(places.shape), 1);
  }
}

/** What it makes of pictures. The caller disposes the tensors. */
export interface CLIPVisionOutput {
  /** Of all tokens, the class first, [batch, 1 + patches, hidden_size]; not normalized. */
  lastHiddenState: Tensor;
  /** The class token's after post_layernorm, [batch, hidden_size]. */
  pooledOutput: Tensor;
  /** With `outputHiddenStates` what the first layer takes and the result of each, the last of which is lastHiddenState; else none. */
  hiddenStates: Tensor[];
}

/** Options of a vision encoder's forward(). */
export interface CLIPVisionOptions {
  outputHiddenStates?: boolean;
}

export class CLIPVisionTransformer extends Module {
  readonly embeddings: CLIPVisionEmbeddings;
  /** As transformers spells it. */
  readonly pre_layrnorm: LayerNorm;
  readonly encoder: CLIPEncoder;
  readonly post_layernorm: LayerNorm;
  readonly #config: CLIPVisionConfig;

  constructor(config: CLIPVisionConfig) {
    super();
    const { hidden_size: width, layer_norm_eps: eps } = config;
    this.#config = config;
    this.embeddings = new CLIPVisionEmbeddings(config);
    this.pre_layrnorm = new LayerNorm(width, eps);
    this.encoder = new CLIPEncoder(config, { causal: false });
    this.post_layernorm = new LayerNorm(width, eps);
  }

  /**
   * @param pixels [batch, num_channels, image_size, image_size], normalized as CLIPImageProcessor does
   * @throws TypeError, RangeError for what is no such tensor
   */
  forward(pixels: Tensor, { outputHiddenStates = false }: CLIPVisionOptions = {}): CLIPVisionOutput {
    const { num_channels: channels, image_size: side } = this.#config;
    checkImages("CLIP", pixels, channels);
    const [, , height, width] = pixels.shape;
    if (height !== side || width !== side)
      throw new RangeError(`CLIP: takes pictures of ${side}x${side} pixels (image_size), got ${width}x${height}`);
    return pixels.device.scope(() => {
      const { dtype } = this.post_layernorm.weight.value;
      const image = toNHWC(pixels);
      const tokens = this.embeddings.forward(image.dtype === dtype ? image : cast(image, dtype));
      let lastHiddenState = this.pre_layrnorm.forward(tokens);
      const hiddenStates = [lastHiddenState];
      for (const layer of this.encoder.layers) {
        lastHiddenState = layer.forward(lastHiddenState);
        if (!outputHiddenStates) hiddenStates.pop()!.dispose();
        hiddenStates.push(lastHiddenState);
      }
      const first = slice(lastHiddenState, 1, 0, 1).reshape([lastHiddenState.shape[0], lastHiddenState.shape[2]]);
      const pooledOutput = this.post_layernorm.forward(first);
      return { lastHiddenState, pooledOutput, hiddenStates: outputHiddenStates ? hiddenStates : [] };
    });
  }
}
