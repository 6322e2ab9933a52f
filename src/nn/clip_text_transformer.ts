/** The transformer of CLIP's text encoders (Radford et al. 2021), transformers' modeling_clip.py. */
import { attention } from "../tensor/ops/attention.js";
import { biasedAttention } from "../tensor/ops/biased_attention.js";
import type { Tensor } from "../tensor/tensor.js";
import { Embedding, LayerNorm, Linear } from "./layers.js";
import { LinearStack } from "./linear_stack.js";
import { Module } from "./module.js";

/** The keys of the config that are read. */
export interface CLIPTextConfig {
  vocab_size: number;
  hidden_size: number;
  intermediate_size: number;
  projection_dim: number;
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
  readonly #projections: LinearStack;

  constructor(width: number, heads: number) {
    super();
    if (width % heads !== 0)
      throw new TypeError(`CLIP: config num_attention_heads = ${heads} does not divide hidden_size = ${width}`);
    this.k_proj = new Linear(width, width);
    this.v_proj = new Linear(width, width);
    this.q_proj = new Linear(width, width);
    this.out_proj = new Linear(width, width);
    this.#heads = heads;
    this.#projections = new LinearStack([this.q_proj, this.k_proj, this.v_proj]);
  }

  forward(x: Tensor, residual: Tensor, mask?: Tensor): Tensor {
    const [q, k, v] = this.#projections.forward(x);
    const options = { heads: this.#heads, causal: true };
    const mixed = mask ? biasedAttention(q, k, v, { ...options, mask }) : attention(q, k, v, options);
    return this.out_proj.forward(mixed, { residual });
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

  /** @param mask float32 [batch, tokens], 0 where no other may look at a token */
  forward(x: Tensor, mask?: Tensor): Tensor {
    return x.device.scope(() => {
      const h = this.self_attn.forward(this.layer_norm1.forward(x), x, mask);
      const inner = this.mlp.fc1.forward(this.layer_norm2.forward(h), { activation: this.#activation });
      return this.mlp.fc2.forward(inner, { residual: h });
    });
  }
}

export class CLIPTextTransformer extends Module {
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
