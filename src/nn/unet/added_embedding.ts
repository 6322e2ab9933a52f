/** Embeddings of the prompt (and of sizes) that are added to the time embedding; _set_add_embedding, embeddings.py. */
import type { DType } from "../../tensor/dtype.js";
import { attention } from "../../tensor/ops/attention.js";
import { cast, repeatRows } from "../../tensor/ops/copy.js";
import { add } from "../../tensor/ops/elementwise.js";
import { mixTokens } from "../../tensor/ops/mix_tokens.js";
import { concat } from "../../tensor/ops/shape.js";
import { Tensor } from "../../tensor/tensor.js";
import { TimestepEmbedding } from "../embeddings.js";
import { LayerNorm, Linear } from "../layers.js";
import { Module, Parameter } from "../module.js";
import { Timesteps } from "./time_proj.js";

/** What Stable Diffusion XL knows beside the prompt, and pictures as prompts; either spelling of a key. */
export interface AddedCondKwargs {
  /** [batch, width], the pooled prompt. */
  textEmbeds?: Tensor;
  text_embeds?: Tensor;
  /** [batch, numbers], e.g. original size, crop and target size: six. */
  timeIds?: Tensor;
  time_ids?: Tensor;
  /** Of a UNet with IP-Adapters: for each of them [batch, pictures, width], or [batch, pictures, tokens, width]. */
  imageEmbeds?: readonly Tensor[];
  image_embeds?: readonly Tensor[];
}

/** One token that attends to the mean of all and to each: CLIP's attention pooling with a learned position. */
class AttentionPooling extends Module {
  readonly positional_embedding: Parameter;
  readonly k_proj: Linear;
  readonly q_proj: Linear;
  readonly v_proj: Linear;
  readonly #heads: number;

  constructor(heads: number, width: number) {
    super();
    if (width % heads !== 0)
      throw new RangeError(
        `AttentionPooling: ${heads} heads (addition_embed_type_num_heads) do not divide ${width} channels`,
      );
    this.positional_embedding = new Parameter([1, width]);
    this.k_proj = new Linear(width, width);
    this.q_proj = new Linear(width, width);
    this.v_proj = new Linear(width, width);
    this.#heads = heads;
  }

  /** @param x [batch, tokens, width]; returns [batch, width] */
  forward(x: Tensor): Tensor {
    return x.device.scope(() => {
      const [batch, tokens, width] = x.shape;
      const average = Tensor.from(new Float32Array(tokens).fill(1 / tokens), [tokens, 1], { device: x.device });
      const position = this.positional_embedding.value.reshape([1, 1, width]);
      const first = add(mixTokens(x, average), repeatRows(position, batch));
      const all = concat(first, x, 1);
      const [q, k, v] = [this.q_proj.forward(first), this.k_proj.forward(all), this.v_proj.forward(all)];
      return attention(q, k, v, { heads: this.#heads }).reshape([batch, width]);
    });
  }
}

/** The prompt's tokens pooled to one vector (DeepFloyd IF). */
class TextTimeEmbedding extends Module implements AddedEmbedding {
  readonly norm1: LayerNorm;
  readonly pool: AttentionPooling;
  readonly proj: Linear;
  readonly norm2: LayerNorm;

  constructor(encoderWidth: number, width: number, heads: number) {
    super();
    this.norm1 = new LayerNorm(encoderWidth);
    this.pool = new AttentionPooling(heads, encoderWidth);
    this.proj = new Linear(encoderWidth, width);
    this.norm2 = new LayerNorm(width);
  }

  embed(prompt: Tensor): Tensor {
    return prompt.device.scope(() =>
      this.norm2.forward(this.proj.forward(this.pool.forward(this.norm1.forward(prompt)))),
    );
  }
}

/** The pooled prompt beside the sinusoids of sizes (Stable Diffusion XL). */
class TextTimeIds extends TimestepEmbedding implements AddedEmbedding {
  readonly #model: string;
  readonly #timeProj: Timesteps;
  readonly #inputWidth: number;

  constructor(model: string, inputWidth: number, width: number, timeProj: Timesteps) {
    super(inputWidth, width);
    this.#model = model;
    this.#timeProj = timeProj;
    this.#inputWidth = inputWidth;
  }

  embed(prompt: Tensor, dtype: DType, added: AddedCondKwargs = {}): Tensor {
    const text = added.textEmbeds ?? added.text_embeds;
    const ids = added.timeIds ?? added.time_ids;
    if (!text || !ids)
      throw new TypeError(
        `${this.#model}: config addition_embed_type = "text_time" needs addedCondKwargs: { textEmbeds, timeIds }`,
      );
    const batch = prompt.shape[0];
    const width = (text.shape[1] ?? 0) + (ids.shape[1] ?? 0) * this.#timeProj.width;
    if (text.shape[0] !== batch || ids.shape[0] !== batch || width !== this.#inputWidth)
      throw new RangeError(
        `${this.#model}: textEmbeds [${text.shape.join(", ")}] and ${this.#timeProj.width} numbers for each of timeIds ` +
          `[${ids.shape.join(", ")}] must make [${batch}, ${this.#inputWidth}] (projection_class_embeddings_input_dim)`,
      );
    return prompt.device.scope(() => {
      const as = (x: Tensor): Tensor => (x.dtype === dtype ? x : cast(x, dtype));
      const times = this.#timeProj.forward(ids, prompt.device).reshape([batch, ids.shape[1] * this.#timeProj.width]);
      return this.forward(concat(as(text), as(times), 1));
    });
  }
}

export interface AddedEmbedding extends Module {
  /**
   * @param prompt [batch, tokens, width], in `dtype`
   * @returns [batch, width of the time embedding]
   */
  embed(prompt: Tensor, dtype: DType, added?: AddedCondKwargs): Tensor;
}

export interface AddedEmbeddingOptions {
  /** addition_embed_type */
  type: string | null;
  /** Width of the time embedding. */
  width: number;
  /** Width of the encoded prompt. */
  encoderWidth: number;
  /** addition_embed_type_num_heads */
  heads: number;
  /** projection_class_embeddings_input_dim */
  inputWidth: number | null;
  /** addition_time_embed_dim */
  timeWidth: number | null;
  frequencies: { flipSinToCos: boolean; freqShift: number };
}

/** @throws TypeError naming the config key that is missing */
export function addedEmbedding(model: string, options: AddedEmbeddingOptions): AddedEmbedding | null {
  const { type, width, inputWidth, timeWidth } = options;
  if (type === null) return null;
  if (type === "text") return new TextTimeEmbedding(options.encoderWidth, width, options.heads);
  if (inputWidth === null || timeWidth === null)
    throw new TypeError(
      `${model}: config addition_embed_type = "${type}" needs addition_time_embed_dim and projection_class_embeddings_input_dim`,
    );
  return new TextTimeIds(model, inputWidth, width, new Timesteps(timeWidth, options.frequencies));
}
