/** The transformer layers of a union of ControlNets, ResidualAttentionBlock in diffusers/models/controlnets/controlnet_union.py. */
import { attention } from "../../tensor/ops/attention.js";
import { slice } from "../../tensor/ops/copy.js";
import { matmul } from "../../tensor/ops/matmul.js";
import type { Tensor } from "../../tensor/tensor.js";
import { LayerNorm, Linear } from "../layers.js";
import { Module, Parameter } from "../module.js";

/** torch.nn.MultiheadAttention: one product for queries, keys and values. */
class MultiheadAttention extends Module {
  readonly in_proj_weight: Parameter;
  readonly in_proj_bias: Parameter;
  readonly out_proj: Linear;
  readonly #heads: number;

  constructor(width: number, heads: number) {
    super();
    this.in_proj_weight = new Parameter([3 * width, width], "linear");
    this.in_proj_bias = new Parameter([3 * width]);
    this.out_proj = new Linear(width, width);
    this.#heads = heads;
  }

  forward(x: Tensor, residual: Tensor): Tensor {
    const width = x.shape[2];
    const all = matmul(x, this.in_proj_weight.value, { bias: this.in_proj_bias.value });
    const [q, k, v] = [0, 1, 2].map((i) => slice(all, 2, i * width, width));
    return this.out_proj.forward(attention(q, k, v, { heads: this.#heads }), { residual });
  }
}

class ResidualAttentionMlp extends Module {
  readonly c_fc: Linear;
  readonly c_proj: Linear;

  constructor(width: number) {
    super();
    this.c_fc = new Linear(width, 4 * width);
    this.c_proj = new Linear(4 * width, width);
  }
}

export class ResidualAttentionBlock extends Module {
  readonly attn: MultiheadAttention;
  readonly ln_1: LayerNorm;
  readonly mlp: ResidualAttentionMlp;
  readonly ln_2: LayerNorm;

  constructor(width: number, heads: number) {
    super();
    this.attn = new MultiheadAttention(width, heads);
    this.ln_1 = new LayerNorm(width);
    this.mlp = new ResidualAttentionMlp(width);
    this.ln_2 = new LayerNorm(width);
  }

  /** @param x [batch, tokens, width] */
  forward(x: Tensor): Tensor {
    return x.device.scope(() => {
      const h = this.attn.forward(this.ln_1.forward(x), x);
      const inner = this.mlp.c_fc.forward(this.ln_2.forward(h), { activation: "quick_gelu" });
      return this.mlp.c_proj.forward(inner, { residual: h });
    });
  }
}
