/** The transformer of a depth estimator (Dosovitskiy et al. 2020), DPTViTLayer of transformers' modeling_dpt.py. */
import { attention } from "../../tensor/ops/attention.js";
import type { Tensor } from "../../tensor/tensor.js";
import { LayerNorm, Linear } from "../layers.js";
import { LinearStack } from "../linear_stack.js";
import { Module } from "../module.js";
import type { DPTConfig } from "./dpt_config.js";

class DPTSelfAttention extends Module {
  readonly query: Linear;
  readonly key: Linear;
  readonly value: Linear;

  constructor(width: number, bias: boolean) {
    super();
    this.query = new Linear(width, width, { bias });
    this.key = new Linear(width, width, { bias });
    this.value = new Linear(width, width, { bias });
  }
}

/** A level of the key path. */
class DPTDense extends Module {
  readonly dense: Linear;

  constructor(from: number, to: number) {
    super();
    this.dense = new Linear(from, to);
  }
}

class DPTAttention extends Module {
  readonly attention: DPTSelfAttention;
  readonly output: DPTDense;
  readonly #heads: number;
  readonly #projections: LinearStack;

  constructor({ hidden_size: width, num_attention_heads: heads, qkv_bias: bias }: DPTConfig) {
    super();
    this.attention = new DPTSelfAttention(width, bias);
    this.output = new DPTDense(width, width);
    this.#heads = heads;
    const { query, key, value } = this.attention;
    this.#projections = new LinearStack([query, key, value]);
  }

  forward(x: Tensor, residual: Tensor): Tensor {
    const [q, k, v] = this.#projections.forward(x);
    return this.output.dense.forward(attention(q, k, v, { heads: this.#heads }), { residual });
  }
}

class DPTLayer extends Module {
  readonly attention: DPTAttention;
  readonly intermediate: DPTDense;
  readonly output: DPTDense;
  readonly layernorm_before: LayerNorm;
  readonly layernorm_after: LayerNorm;
  readonly #activation: DPTConfig["hidden_act"];

  constructor(config: DPTConfig) {
    super();
    const { hidden_size: width, intermediate_size: inner, layer_norm_eps: eps } = config;
    this.attention = new DPTAttention(config);
    this.intermediate = new DPTDense(width, inner);
    this.output = new DPTDense(inner, width);
    this.layernorm_before = new LayerNorm(width, eps);
    this.layernorm_after = new LayerNorm(width, eps);
    this.#activation = config.hidden_act;
  }

  /** @param x [batch, tokens, hidden_size] */
  forward(x: Tensor): Tensor {
    return x.device.scope(() => {
      const h = this.attention.forward(this.layernorm_before.forward(x), x);
      const inner = this.intermediate.dense.forward(this.layernorm_after.forward(h), { activation: this.#activation });
      return this.output.dense.forward(inner, { residual: h });
    });
  }
}

export class DPTEncoder extends Module {
  readonly layer: readonly DPTLayer[];

  constructor(config: DPTConfig) {
    super();
    this.layer = Array.from({ length: config.num_hidden_layers }, () => new DPTLayer(config));
  }

  /**
   * @param tokens disposed
   * @param wanted layers, from 0 on
   * @returns the results of those, in their order; what comes behind the last of them is not computed
   */
  forward(tokens: Tensor, wanted: readonly number[]): Tensor[] {
    const results: Tensor[] = [];
    let h = tokens;
    for (const [i, layer] of this.layer.slice(0, Math.max(...wanted) + 1).entries()) {
      const next = layer.forward(h);
      if (!results.includes(h)) h.dispose();
      h = next;
      if (wanted.includes(i)) results.push(h);
    }
    return results;
  }
}
