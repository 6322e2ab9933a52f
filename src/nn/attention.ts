/** Attention and transformer blocks, diffusers/models/attention.py, attention_processor.py, transformers/transformer_2d.py. */
import { attention } from "../tensor/ops/attention.js";
import { geglu, type GELUApproximation } from "../tensor/ops/elementwise.js";
import { product } from "../tensor/dtype.js";
import type { Tensor } from "../tensor/tensor.js";
import { Conv2d, GroupNorm, LayerNorm, Linear } from "./layers.js";
import { Module } from "./module.js";

/** Multi-head attention over tokens, self or cross. */
export class Attention extends Module {
  readonly to_q: Linear;
  readonly to_k: Linear;
  readonly to_v: Linear;
  readonly to_out: readonly [Linear, null];
  readonly #heads: number;

  constructor(width: number, heads: number, contextWidth = width) {
    super();
    if (width % heads !== 0) throw new RangeError(`Attention: ${heads} heads do not divide ${width} channels`);
    this.to_q = new Linear(width, width, { bias: false });
    this.to_k = new Linear(contextWidth, width, { bias: false });
    this.to_v = new Linear(contextWidth, width, { bias: false });
    this.to_out = [new Linear(width, width), null];
    this.#heads = heads;
  }

  /**
   * @param x [batch, tokens, width]
   * @param context [batch, contextTokens, contextWidth], whose keys and values are kept with it; without, self-attention
   * @param residual added to the result
   */
  forward(x: Tensor, { context, residual }: { context?: Tensor; residual?: Tensor } = {}): Tensor {
    return x.device.scope(() => {
      const q = this.to_q.forward(x);
      const project = (from: Tensor): readonly Tensor[] => [this.to_k.forward(from), this.to_v.forward(from)];
      const [k, v] = context ? context.memo(this, () => project(context)) : project(x);
      return this.to_out[0].forward(attention(q, k, v, { heads: this.#heads }), { residual });
    });
  }
}

export interface AttentionBlockOptions {
  groups: number;
  eps: number;
  /** Channels per head; by default one head of all channels. What remains of the channels has no head, as in diffusers. */
  headDim?: number;
}

/** Attention among pixels, of the VAE and of UNet2DModel: group norm, biases everywhere, residual. */
export class AttentionBlock extends Module {
  readonly group_norm: GroupNorm;
  readonly to_q: Linear;
  readonly to_k: Linear;
  readonly to_v: Linear;
  readonly to_out: readonly [Linear, null];
  readonly #heads: number;

  constructor(channels: number, { groups, eps, headDim = channels }: AttentionBlockOptions) {
    super();
    this.#heads = Math.floor(channels / headDim);
    if (this.#heads === 0)
      throw new RangeError(`AttentionBlock: heads of ${headDim} (attention_head_dim) do not fit ${channels} channels`);
    const inner = this.#heads * headDim;
    this.group_norm = new GroupNorm(groups, channels, eps);
    this.to_q = new Linear(channels, inner);
    this.to_k = new Linear(channels, inner);
    this.to_v = new Linear(channels, inner);
    this.to_out = [new Linear(inner, channels), null];
  }

  /** @param x [batch, height, width, channels] */
  forward(x: Tensor): Tensor {
    return x.device.scope(() => {
      const [batch, height, width, channels] = x.shape;
      const tokens = this.group_norm.forward(x).reshape([batch, height * width, channels]);
      const mixed = attention(this.to_q.forward(tokens), this.to_k.forward(tokens), this.to_v.forward(tokens), {
        heads: this.#heads,
      });
      return this.to_out[0].forward(mixed, { residual: x.reshape(tokens.shape) }).reshape(x.shape);
    });
  }
}

export class GEGLU extends Module {
  readonly proj: Linear;
  /** FlaxUNet2DConditionModel sets "tanh". */
  approximate: GELUApproximation = "none";

  constructor(width: number, inner: number) {
    super();
    this.proj = new Linear(width, 2 * inner);
  }
}

/** Linear to twice 4 x width, GEGLU, linear back. */
class FeedForward extends Module {
  readonly net: readonly [GEGLU, null, Linear];

  constructor(width: number) {
    super();
    this.net = [new GEGLU(width, 4 * width), null, new Linear(4 * width, width)];
  }

  forward(x: Tensor, residual: Tensor): Tensor {
    return x.device.scope(() => this.net[2].forward(geglu(this.net[0].proj.forward(x), this.net[0]), { residual }));
  }
}

/** Self-attention, cross-attention, feed-forward, each after a layer norm and with a residual. */
export class BasicTransformerBlock extends Module {
  readonly norm1: LayerNorm;
  readonly attn1: Attention;
  readonly norm2: LayerNorm;
  readonly attn2: Attention;
  readonly norm3: LayerNorm;
  readonly ff: FeedForward;

  constructor(width: number, heads: number, contextWidth: number) {
    super();
    this.norm1 = new LayerNorm(width);
    this.attn1 = new Attention(width, heads);
    this.norm2 = new LayerNorm(width);
    this.attn2 = new Attention(width, heads, contextWidth);
    this.norm3 = new LayerNorm(width);
    this.ff = new FeedForward(width);
  }

  forward(x: Tensor, context: Tensor): Tensor {
    return x.device.scope(() => {
      const a = this.attn1.forward(this.norm1.forward(x), { residual: x });
      const b = this.attn2.forward(this.norm2.forward(a), { context, residual: a });
      return this.ff.forward(this.norm3.forward(b), b);
    });
  }
}

export interface TransformerOptions {
  channels: number;
  heads: number;
  contextWidth: number;
  depth: number;
  groups: number;
  /** Projections are linear layers (SD 2) instead of 1x1 convolutions (SD 1): the same product under other shapes. */
  linearProjection: boolean;
}

/** Transformer blocks over the pixels of a feature map, with a residual around all of them. */
export class Transformer2DModel extends Module {
  readonly norm: GroupNorm;
  readonly proj_in: Linear | Conv2d;
  readonly transformer_blocks: readonly BasicTransformerBlock[];
  readonly proj_out: Linear | Conv2d;

  constructor({ channels, heads, contextWidth, depth, groups, linearProjection }: TransformerOptions) {
    super();
    const projection = (): Linear | Conv2d =>
      linearProjection ? new Linear(channels, channels) : new Conv2d(channels, channels, { kernel: 1 });
    this.norm = new GroupNorm(groups, channels, 1e-6);
    this.proj_in = projection();
    this.transformer_blocks = Array.from(
      { length: depth },
      () => new BasicTransformerBlock(channels, heads, contextWidth),
    );
    this.proj_out = projection();
  }

  /**
   * @param x [batch, height, width, channels]
   * @param context [batch, tokens, contextWidth], the encoded prompt
   */
  forward(x: Tensor, context: Tensor): Tensor {
    return x.device.scope(() => {
      const [batch, ...rest] = x.shape;
      let tokens = this.proj_in.forward(this.norm.forward(x)).reshape([batch, product(rest) / x.shape[3], x.shape[3]]);
      for (const block of this.transformer_blocks) {
        const next = block.forward(tokens, context);
        tokens.dispose();
        tokens = next;
      }
      return this.proj_out.forward(tokens.reshape(x.shape), { residual: x });
    });
  }
}
