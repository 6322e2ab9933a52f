/** CLIP's text encoder (Radford et al. 2021), transformers' CLIPTextModel. */
import { attention } from "../tensor/ops/attention.js";
import { slice } from "../tensor/ops/copy.js";
import { concat, embedding } from "../tensor/ops/shape.js";
import { Tensor } from "../tensor/tensor.js";
import { anything, isCount, isNumber, nullOr, oneOf, type ConfigSchema } from "./config.js";
import { Embedding, LayerNorm, Linear } from "./layers.js";
import { Module } from "./module.js";
import { PretrainedModel } from "./pretrained.js";

const schema: ConfigSchema = {
  name: "CLIPTextModel",
  defaults: {
    vocab_size: 49408,
    hidden_size: 512,
    intermediate_size: 2048,
    num_hidden_layers: 12,
    num_attention_heads: 8,
    max_position_embeddings: 77,
    hidden_act: "quick_gelu",
    layer_norm_eps: 1e-5,
    bos_token_id: 49406,
    eos_token_id: 49407,
  },
  rules: {
    vocab_size: isCount,
    hidden_size: isCount,
    intermediate_size: isCount,
    num_hidden_layers: isCount,
    num_attention_heads: isCount,
    max_position_embeddings: isCount,
    hidden_act: oneOf("quick_gelu", "gelu"),
    layer_norm_eps: isNumber,
    bos_token_id: anything,
    eos_token_id: nullOr(Number.isSafeInteger),
  },
};

interface CLIPTextConfig {
  vocab_size: number;
  hidden_size: number;
  intermediate_size: number;
  num_hidden_layers: number;
  num_attention_heads: number;
  max_position_embeddings: number;
  hidden_act: "quick_gelu" | "gelu";
  layer_norm_eps: number;
  eos_token_id: number | null;
}

class CLIPAttention extends Module {
  readonly k_proj: Linear;
  readonly v_proj: Linear;
  readonly q_proj: Linear;
  readonly out_proj: Linear;
  readonly #heads: number;

  constructor(width: number, heads: number) {
    super();
    if (width % heads !== 0)
      throw new TypeError(
        `CLIPTextModel: config num_attention_heads = ${heads} does not divide hidden_size = ${width}`,
      );
    this.k_proj = new Linear(width, width);
    this.v_proj = new Linear(width, width);
    this.q_proj = new Linear(width, width);
    this.out_proj = new Linear(width, width);
    this.#heads = heads;
  }

  forward(x: Tensor, residual: Tensor): Tensor {
    const [q, k, v] = [this.q_proj, this.k_proj, this.v_proj].map((projection) => projection.forward(x));
    return this.out_proj.forward(attention(q, k, v, { heads: this.#heads, causal: true }), { residual });
  }
}

class CLIPMLP extends Module {
  readonly fc1: Linear;
  readonly fc2: Linear;

  constructor(width: number, inner: number) {
    super();
    this.fc1 = new Linear(width, inner);
    this.fc2 = new Linear(inner, width);
  }
}

class CLIPEncoderLayer extends Module {
  readonly self_attn: CLIPAttention;
  readonly layer_norm1: LayerNorm;
  readonly mlp: CLIPMLP;
  readonly layer_norm2: LayerNorm;
  readonly #activation: "quick_gelu" | "gelu";

  constructor(config: CLIPTextConfig) {
    super();
    const { hidden_size: width, layer_norm_eps: eps } = config;
    this.self_attn = new CLIPAttention(width, config.num_attention_heads);
    this.layer_norm1 = new LayerNorm(width, eps);
    this.mlp = new CLIPMLP(width, config.intermediate_size);
    this.layer_norm2 = new LayerNorm(width, eps);
    this.#activation = config.hidden_act;
  }

  forward(x: Tensor): Tensor {
    return x.device.scope(() => {
      const h = this.self_attn.forward(this.layer_norm1.forward(x), x);
      const inner = this.mlp.fc1.forward(this.layer_norm2.forward(h), { activation: this.#activation });
      return this.mlp.fc2.forward(inner, { residual: h });
    });
  }
}

class CLIPTextTransformer extends Module {
  readonly embeddings: Module & { token_embedding: Embedding; position_embedding: Embedding };
  readonly encoder: Module & { layers: CLIPEncoderLayer[] };
  readonly final_layer_norm: LayerNorm;

  constructor(config: CLIPTextConfig) {
    super();
    const { hidden_size: width } = config;
    this.embeddings = Object.assign(new Group(), {
      token_embedding: new Embedding(config.vocab_size, width),
      position_embedding: new Embedding(config.max_position_embeddings, width),
    });
    this.encoder = Object.assign(new Group(), {
      layers: Array.from({ length: config.num_hidden_layers }, () => new CLIPEncoderLayer(config)),
    });
    this.final_layer_norm = new LayerNorm(width, config.layer_norm_eps);
  }
}

/** A level of the key path without a computation of its own. */
class Group extends Module {}

export interface CLIPTextOutput {
  /** After final_layer_norm, [batch, tokens, hidden_size]. */
  lastHiddenState: Tensor;
  /** The row of the end token, [batch, hidden_size]. */
  pooledOutput: Tensor;
  /** Embeddings and the result of each layer, before final_layer_norm. */
  hiddenStates: Tensor[];
}

export class CLIPTextModel extends PretrainedModel<CLIPTextConfig> {
  static readonly className = "CLIPTextModel";
  readonly text_model: CLIPTextTransformer;

  constructor(given: Readonly<Record<string, unknown>> = {}) {
    super(schema, given);
    this.text_model = new CLIPTextTransformer(this.config);
  }

  protected override get weightStem(): "model" {
    return "model";
  }

  /**
   * Encodes token ids. The caller disposes the tensors of the result.
   * @param ids one row per text, all of one length up to max_position_embeddings; or an int32 tensor [batch, tokens]
   */
  async forward(ids: readonly (readonly number[])[] | Tensor): Promise<CLIPTextOutput> {
    const rows = ids instanceof Tensor ? await toRows(ids) : ids;
    const { vocab_size, max_position_embeddings } = this.config;
    const tokens = rows[0]?.length ?? 0;
    if (tokens === 0 || tokens > max_position_embeddings || rows.some((row) => row.length !== tokens))
      throw new RangeError(
        `CLIPTextModel: takes rows of one length from 1 to ${max_position_embeddings}, got lengths [${rows.map((row) => row.length).join(", ")}]`,
      );
    const wrong = rows.flat().find((id) => !Number.isInteger(id) || id < 0 || id >= vocab_size);
    if (wrong !== undefined)
      throw new RangeError(`CLIPTextModel: token ids must be integers below vocab_size = ${vocab_size}, got ${wrong}`);
    const { token_embedding: table, position_embedding: position } = this.text_model.embeddings;
    const { device } = table.weight.value;
    return device.scope(() => {
      const idTensor = Tensor.from(Int32Array.from(rows.flat()), [rows.length, tokens], { device });
      const hiddenStates = [embedding(idTensor, table.weight.value, position.weight.value)];
      for (const layer of this.text_model.encoder.layers)
        hiddenStates.push(layer.forward(hiddenStates[hiddenStates.length - 1]));
      const lastHiddenState = this.finalNorm(hiddenStates[hiddenStates.length - 1]);
      return { lastHiddenState, pooledOutput: this.#pool(lastHiddenState, rows), hiddenStates };
    });
  }

  /** final_layer_norm alone, for hidden states taken before the last layer (clip_skip). */
  finalNorm(hiddenState: Tensor): Tensor {
    return this.text_model.final_layer_norm.forward(hiddenState);
  }

  /** Each text's row at its end token. Configs of 2022 say eos_token_id = 2; there the end token is the largest id. */
  #pool(states: Tensor, rows: readonly (readonly number[])[]): Tensor {
    const { eos_token_id: eos } = this.config;
    const width = states.shape[2];
    let pooled: Tensor | undefined;
    rows.forEach((row, i) => {
      const at = eos === 2 || eos === null ? row.indexOf(Math.max(...row)) : Math.max(0, row.indexOf(eos));
      const state = slice(slice(states, 0, i, 1), 1, at, 1).reshape([1, width]);
      pooled = pooled ? concat(pooled, state, 0) : state;
    });
    return pooled as Tensor;
  }
}

async function toRows(ids: Tensor): Promise<number[][]> {
  if (ids.dtype !== "int32" || ids.shape.length !== 2)
    throw new TypeError(`CLIPTextModel: ids must be an int32 tensor [batch, tokens], got ${String(ids)}`);
  const data = await ids.data();
  const [batch, tokens] = ids.shape;
  return Array.from({ length: batch }, (_, i) => Array.from(data.subarray(i * tokens, (i + 1) * tokens)));
}
