/** Transformer blocks among the tokens of a text and a picture: BasicTransformerBlock without cross-attention, diffusers/models/attention.py. */
import type { Tensor } from "../../tensor/tensor.js";
import { Attention } from "../attention.js";
import { LayerNorm, Linear } from "../layers.js";
import { Module } from "../module.js";

class GELUProjection extends Module {
  readonly proj: Linear;

  constructor(width: number, inner: number) {
    super();
    this.proj = new Linear(width, inner);
  }

  forward(x: Tensor): Tensor {
    return this.proj.forward(x, { activation: "gelu" });
  }
}

class FeedForward extends Module {
  readonly net: readonly [GELUProjection, null, Linear];

  constructor(width: number) {
    super();
    this.net = [new GELUProjection(width, 4 * width), null, new Linear(4 * width, width)];
  }

  forward(x: Tensor, residual: Tensor): Tensor {
    return x.device.scope(() => this.net[2].forward(this.net[0].forward(x), { residual }));
  }
}

export class PriorBlock extends Module {
  readonly norm1: LayerNorm;
  readonly attn1: Attention;
  readonly norm3: LayerNorm;
  readonly ff: FeedForward;

  constructor(width: number, heads: number) {
    super();
    this.norm1 = new LayerNorm(width);
    this.attn1 = new Attention(width, heads, { bias: true });
    this.norm3 = new LayerNorm(width);
    this.ff = new FeedForward(width);
  }

  /**
   * @param x [batch, tokens, width]
   * @param mask float32 [batch, at most tokens]: 0 for tokens that none looks at; with it tokens look at those before them alone
   */
  forward(x: Tensor, mask: Tensor | undefined): Tensor {
    return x.device.scope(() => {
      const a = this.attn1.forward(this.norm1.forward(x), { mask, causal: mask !== undefined, residual: x });
      return this.ff.forward(this.norm3.forward(a), a);
    });
  }
}
