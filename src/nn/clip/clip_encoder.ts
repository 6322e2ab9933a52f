/** The encoder that CLIP's text and vision transformers have in common (Radford et al. 2021), transformers' modeling_clip.py. */
import { attention } from "../../tensor/ops/attention.js";
import { biasedAttention } from "../../tensor/ops/biased_attention.js";
import type { Tensor } from "../../tensor/tensor.js";
import { LayerNorm, Linear } from "../layers.js";
import { LinearStack } from "../linear_stack.js";
import { Module } from "../module.js";

/** The keys of both configs that it reads. */
export interface CLIPEncoderConfig {
  hidden_size: number;
  intermediate_size: number;
  num_hidden_layers: number;
  num_attention_heads: number;
  hidden_act: "quick_gelu" | "gelu";
  layer_norm_eps: number;
}

export interface CLIPEncoderOptions {
  /** Tokens attend to themselves and those before them, as in texts. */
  causal: boolean;
}

class CLIPAttention extends Module {
  readonly k_proj: Linear;
  readonly v_proj: Linear;
  readonly q_proj: Linear;
  readonly out_proj: Linear;
  readonly #heads: number;
  readonly #causal: boolean;
  readonly #projections: LinearStack;

  constructor(width: number, heads: number, { causal }: CLIPEncoderOptions) {
    super();
    if (width % heads !== 0)
      throw new TypeError(`CLIP: config num_attention_heads = ${heads} does not divide hidden_size = ${width}`);
    this.k_proj = new Linear(width, width);
    this.v_proj = new Linear(width, width);
    this.q_proj = new Linear(width, width);
    this.out_proj = new Linear(width, width);
    this.#heads = heads;
    this.#causal = causal;
    this.#projections = new LinearStack([this.q_proj, this.k_proj, this.v_proj]);
  }

  forward(x: Tensor, residual: Tensor, mask?: Tensor): Tensor {
    const [q, k, v] = this.#projections.forward(x);
    const options = { heads: this.#heads, causal: this.#causal };
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
  readonly #activation: CLIPEncoderConfig["hidden_act"];

  constructor(config: CLIPEncoderConfig, options: CLIPEncoderOptions) {
    super();
    const { hidden_size: width, layer_norm_eps: eps } = config;
    this.self_attn = new CLIPAttention(width, config.num_attention_heads, options);
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

/** Layers, which are called one by one: who wants their results keeps them. */
export class CLIPEncoder extends Module {
  readonly layers: readonly CLIPEncoderLayer[];

  constructor(config: CLIPEncoderConfig, options: CLIPEncoderOptions) {
    super();
    this.layers = Array.from({ length: config.num_hidden_layers }, () => new CLIPEncoderLayer(config, options));
  }
}
