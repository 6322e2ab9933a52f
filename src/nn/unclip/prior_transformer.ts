/** unCLIP's prior (Ramesh et al. 2022): of a text it guesses what CLIP sees in a picture, diffusers/models/transformers/prior_transformer.py. */
import { inOwnSpelling } from "../../arguments/spelling.js";
import { cast, repeatRows, slice } from "../../tensor/ops/copy.js";
import { add } from "../../tensor/ops/elementwise.js";
import { concat } from "../../tensor/ops/shape.js";
import { standardize } from "../../tensor/ops/standardize.js";
import { toFloat } from "../../tensor/ops/to_float.js";
import type { Tensor } from "../../tensor/tensor.js";
import { activationOf } from "../activations.js";
import { checkTensor } from "../check_tensor.js";
import { TimestepEmbedding } from "../embeddings.js";
import { LayerNorm, Linear } from "../layers.js";
import { Parameter } from "../module.js";
import { Timesteps } from "../unet/time_proj.js";
import { timestepsFor } from "../unet/unet_2d_trunk.js";
import { PretrainedModel } from "../weights/pretrained.js";
import { PriorBlock } from "./prior_block.js";
import { PRIOR_TRANSFORMER_SCHEMA, type PriorTransformerConfig } from "./prior_transformer_config.js";

/** Options of PriorTransformer.forward(). */
export interface PriorForwardOptions {
  /** The tokens of a text, [batch, num_embeddings, embedding_dim]; of priors that read none, nothing. */
  encoderHiddenStates?: Tensor;
  /** [batch, num_embeddings]: 1 for tokens to look at, 0 for others. With it tokens look at those before them alone. */
  attentionMask?: Tensor;
}

const OPTIONS = ["encoderHiddenStates", "attentionMask"];
const NAME = "PriorTransformer";

/**
 * @example
 * const { predictedImageEmbedding } = prior.forward(noisy, timestep, textEmbeds, { encoderHiddenStates, attentionMask });
 */
export class PriorTransformer extends PretrainedModel<PriorTransformerConfig> {
  static readonly className = NAME;
  static readonly defaults = PRIOR_TRANSFORMER_SCHEMA.defaults;
  readonly time_proj: Timesteps;
  readonly time_embedding: TimestepEmbedding;
  readonly proj_in: Linear;
  readonly embedding_proj_norm: LayerNorm | null;
  readonly embedding_proj: Linear;
  readonly encoder_hidden_states_proj: Linear | null;
  readonly positional_embedding: Parameter;
  readonly prd_embedding: Parameter | null;
  readonly transformer_blocks: readonly PriorBlock[];
  readonly norm_in: LayerNorm | null;
  readonly norm_out: LayerNorm;
  readonly proj_to_clip_embeddings: Linear;
  readonly clip_mean: Parameter;
  readonly clip_std: Parameter;

  constructor(given: Readonly<Record<string, unknown>> = {}) {
    super(PRIOR_TRANSFORMER_SCHEMA, given);
    const { config } = this;
    const { num_attention_heads: heads, num_layers: layers, embedding_dim: width } = config;
    const inner = heads * config.attention_head_dim;
    const { time_embed_dim: timeWidth, clip_embed_dim: clipWidth } = config;
    this.time_proj = new Timesteps(inner, { flipSinToCos: true, freqShift: 0 });
    this.time_embedding = new TimestepEmbedding(inner, timeWidth ?? inner, {
      activation: activationOf(config.time_embed_act_fn),
      outWidth: inner,
    });
    this.proj_in = new Linear(width, inner);
    this.embedding_proj_norm = config.embedding_proj_norm_type === null ? null : new LayerNorm(this.#projWidth);
    this.embedding_proj = new Linear(this.#projWidth, inner);
    this.encoder_hidden_states_proj = config.encoder_hid_proj_type === null ? null : new Linear(width, inner);
    this.positional_embedding = new Parameter([1, this.#tokens, inner]);
    this.prd_embedding = config.added_emb_type === null ? null : new Parameter([1, 1, inner]);
    this.transformer_blocks = Array.from({ length: layers }, () => new PriorBlock(inner, heads));
    this.norm_in = config.norm_in_type === null ? null : new LayerNorm(inner);
    this.norm_out = new LayerNorm(inner);
    this.proj_to_clip_embeddings = new Linear(inner, clipWidth ?? width);
    this.clip_mean = new Parameter([1, clipWidth ?? width]);
    this.clip_std = new Parameter([1, clipWidth ?? width]);
  }

  /**
   * Guesses the embedding of a picture (or the noise: the scheduler's prediction_type says which).
   * @param hiddenStates noisy embeddings of pictures, [batch, embedding_dim]
   * @param timestep one for the batch, or one per picture
   * @param projEmbedding of a text as a whole, [batch, embedding_proj_dim]
   * @returns float32 [batch, clip_embed_dim], without a token of its own (added_emb_type null) [batch, 1, clip_embed_dim]; the caller
   *   disposes it
   * @throws RangeError, TypeError for other shapes, and where tokens of a text are missing
   */
  forward(
    hiddenStates: Tensor,
    timestep: number | readonly number[],
    projEmbedding: Tensor,
    given: PriorForwardOptions = {},
  ): { predictedImageEmbedding: Tensor } {
    const options = inOwnSpelling(given, OPTIONS, `${NAME}.forward`);
    this.#expect("hiddenStates", hiddenStates, ["batch", this.config.embedding_dim]);
    const [batch] = hiddenStates.shape;
    const timesteps = timestepsFor(NAME, timestep, batch);
    return hiddenStates.device.scope(() => {
      const seen = this.embedTexts(projEmbedding, options);
      this.#expect("projEmbedding", projEmbedding, [batch, this.#projWidth]);
      const projected = this.time_proj.forward(timesteps, hiddenStates.device);
      return { predictedImageEmbedding: this.predict(hiddenStates, projected, seen) };
    });
  }

  /**
   * The parts of `forward`, for loops that record the last: what it knows of texts …
   * @returns tokens [batch, texts' tokens + 1, inner width] and a mask, of the caller (or its scope)
   */
  embedTexts(projEmbedding: Tensor, options: PriorForwardOptions = {}): { tokens: Tensor; mask?: Tensor } {
    const { encoderHiddenStates: states, attentionMask } = options;
    const { num_embeddings: count, embedding_dim: width } = this.config;
    const { encoder_hidden_states_proj: projection } = this;
    this.#expect("projEmbedding", projEmbedding, ["batch", this.#projWidth]);
    const [batch] = projEmbedding.shape;
    if (projection && !states)
      throw new TypeError(`${NAME}: \`encoderHiddenStates\` must be given, the config has encoder_hid_proj_type`);
    if (!projection && (states ?? attentionMask))
      throw new TypeError(`${NAME}: texts' tokens were given, but config encoder_hid_proj_type is null`);
    if (states) this.#expect("encoderHiddenStates", states, [batch, count, width]);
    if (attentionMask) this.#expect("attentionMask", attentionMask, [batch, count]);
    // The text, its embedding, the timestep, the picture, and what is predicted.
    const tokens = (states ? count : 0) + 3 + (this.prd_embedding ? 1 : 0);
    if (tokens !== this.#tokens)
      throw new RangeError(
        `${NAME}: config num_embeddings + additional_embeddings = ${this.#tokens} must be the ${tokens} tokens that there are`,
      );
    return projEmbedding.device.scope(() => {
      const whole = this.#as(projEmbedding);
      const point = this.embedding_proj.forward(this.embedding_proj_norm?.forward(whole) ?? whole);
      const last = asToken(point);
      const text = projection && states ? concat(projection.forward(this.#as(states)), last, 1) : last;
      return { tokens: text, ...(attentionMask && { mask: toFloat(attentionMask) }) };
    });
  }

  /**
   * … and the way through the network.
   * @param projected of time_proj, [batch, inner width]
   * @param seen of embedTexts()
   */
  predict(hiddenStates: Tensor, projected: Tensor, { tokens, mask }: { tokens: Tensor; mask?: Tensor }): Tensor {
    return hiddenStates.device.scope(() => {
      const [batch] = hiddenStates.shape;
      const time = asToken(this.time_embedding.forward(this.#as(projected)));
      const parts = [tokens, time, asToken(this.proj_in.forward(this.#as(hiddenStates)))];
      if (this.prd_embedding) parts.push(repeatRows(this.prd_embedding.value, batch));
      const all = parts.reduce((left, right) => concat(left, right, 1));
      let x = add(all, repeatRows(this.positional_embedding.value, batch));
      if (this.norm_in) x = this.norm_in.forward(x);
      for (const block of this.transformer_blocks) x = block.forward(x, mask);
      const [, count, inner] = x.shape;
      const last = slice(this.norm_out.forward(x), 1, count - 1, 1);
      const read = this.prd_embedding ? last.reshape([batch, inner]) : last;
      return toFloat(this.proj_to_clip_embeddings.forward(read));
    });
  }

  /**
   * What a loop ends with, as an embedding of CLIP: latents * clip_std + clip_mean.
   * @param priorLatents [batch, clip_embed_dim]
   * @returns float32, the same shape; the caller disposes it
   */
  postProcessLatents(priorLatents: Tensor): Tensor {
    this.#expect("priorLatents", priorLatents, ["batch", this.clip_mean.shape[1]]);
    return priorLatents.device.scope(() => {
      const [mean, std] = [this.clip_mean, this.clip_std].map(({ value }) => toFloat(value));
      return standardize(toFloat(priorLatents), { mean, std }, { back: true });
    });
  }

  get #tokens(): number {
    return this.config.num_embeddings + this.config.additional_embeddings;
  }

  get #projWidth(): number {
    return this.config.embedding_proj_dim ?? this.config.embedding_dim;
  }

  /** In the dtype of the weights. */
  #as(x: Tensor): Tensor {
    return x.dtype === this.dtype ? x : cast(x, this.dtype);
  }

  #expect(name: string, x: Tensor, shape: readonly (number | string)[]): void {
    const wanted = `\`${name}\` must be [${shape.join(", ")}]`;
    checkTensor(NAME, name, x);
    const fits = x.shape.length === shape.length && shape.every((n, i) => typeof n === "string" || n === x.shape[i]);
    if (!fits) throw new RangeError(`${NAME}: ${wanted}, got [${x.shape.join(", ")}]`);
  }
}

/** [batch, width] as [batch, 1, width]. */
const asToken = (x: Tensor): Tensor => x.reshape([x.shape[0], 1, x.shape[1]]);
