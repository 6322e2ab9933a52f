/** Attention and transformer blocks, diffusers/models/attention.py, attention_processor.py, transformers/transformer_2d.py. */
import { attention } from "../tensor/ops/attention.js";
import { geglu, linearCombination, type GELUApproximation } from "../tensor/ops/elementwise.js";
import { biasedAttention } from "../tensor/ops/biased_attention.js";
import type { Operand } from "../tensor/columns.js";
import type { Tensor } from "../tensor/tensor.js";
import type { ImagePrompt } from "./ip_adapter/ip_adapter.js";
import { Conv2d, GroupNorm, LayerNorm, Linear } from "./layers.js";
import { LinearStack } from "./linear_stack.js";
import { Module, weightsOf } from "./module.js";

/** The encoded prompt, of models that take one. */
export interface Prompt {
  /** [batch, tokens, width] */
  context?: Tensor;
  /** float32 [batch, tokens]: 1 for tokens to attend to, 0 for others. */
  contextMask?: Tensor;
  /** Pictures beside it. */
  images?: readonly ImagePrompt[];
}

/** What an attention takes besides its queries' tokens. */
interface AttentionOptions {
  /** [batch, contextTokens, contextWidth], of cross-attention; its keys and values are kept with it. */
  context?: Tensor;
  /** Of the context's tokens, or of the queries' own. */
  mask?: Tensor;
  /** With a mask: tokens attend to themselves and those before them. */
  causal?: boolean;
  /** What the queries see besides; added up. */
  images?: readonly ImagePrompt[];
  /** Added to the result. */
  residual?: Tensor;
}

export interface AttentionShape {
  /** Of cross-attention; without, keys and values are of the queries' tokens. */
  contextWidth?: number;
  /** Width of all heads, by default that of the tokens. */
  inner?: number;
  /** Whether queries, keys and values have biases. */
  bias?: boolean;
  /** A layer norm of the context first. */
  contextNorm?: boolean;
}

/** Multi-head attention over tokens, self or cross. */
export class Attention extends Module {
  readonly norm_cross: LayerNorm | null;
  readonly to_q: Linear;
  readonly to_k: Linear;
  readonly to_v: Linear;
  readonly to_out: readonly [Linear, null];
  readonly #heads: number;
  /** Keys and values, of self-attention queries before them. */
  readonly #projections: LinearStack;
  readonly #cross: boolean;

  constructor(width: number, heads: number, shape: AttentionShape = {}) {
    super();
    const { contextWidth = width, inner = width, bias = false, contextNorm = false } = shape;
    if (inner % heads !== 0)
      throw new RangeError(`Attention: ${heads} heads (attention_head_dim) do not divide ${inner} channels`);
    this.norm_cross = contextNorm ? new LayerNorm(contextWidth) : null;
    this.to_q = new Linear(width, inner, { bias });
    this.to_k = new Linear(contextWidth, inner, { bias });
    this.to_v = new Linear(contextWidth, inner, { bias });
    this.to_out = [new Linear(inner, width), null];
    this.#heads = heads;
    this.#cross = shape.contextWidth !== undefined;
    this.#projections = new LinearStack([...(this.#cross ? [] : [this.to_q]), this.to_k, this.to_v]);
  }

  /**
   * @param x [batch, tokens, width]
   * @throws TypeError if cross-attention lacks its context
   */
  forward(x: Tensor, { context, mask, causal, images = [], residual }: AttentionOptions = {}): Tensor {
    return x.device.scope(() => {
      const [q, k, v] = this.#cross ? this.#attendTo(x, context) : this.#projections.forward(x);
      const heads = this.#heads;
      let mixed = mask ? biasedAttention(q, k, v, { heads, mask, causal }) : attention(q, k, v, { heads });
      for (const { adapter, tokens } of images) mixed = adapter.addTo(mixed, this, q, tokens, heads);
      return this.to_out[0].forward(mixed, { residual });
    });
  }

  #attendTo(x: Tensor, context: Tensor | undefined): Operand[] {
    if (!context) throw new TypeError("Attention: needs the encoded prompt");
    const projections = this.#projections;
    const project = (): Tensor[] =>
      x.device.scope(() => projections.products(this.norm_cross?.forward(context) ?? context));
    const kept = context.memo(this, project, weightsOf(this.to_k, this.to_v));
    return [this.to_q.forward(x), ...projections.split(kept)];
  }
}

export interface AttentionBlockOptions {
  /** null: no norm. */
  groups: number | null;
  eps: number;
  /** Channels per head; by default one head of all channels. What remains of the channels has no head, as in diffusers. */
  headDim?: number;
  /** Divides the sum of attention and residual. */
  outputScale?: number;
}

/** Attention among pixels, of the VAE and of UNet2DModel: group norm, biases everywhere, residual. */
export class AttentionBlock extends Module {
  readonly group_norm: GroupNorm | null;
  readonly to_q: Linear;
  readonly to_k: Linear;
  readonly to_v: Linear;
  readonly to_out: readonly [Linear, null];
  readonly #heads: number;
  readonly #projections: LinearStack;
  readonly #outputScale: number;

  constructor(channels: number, { groups, eps, headDim = channels, outputScale = 1 }: AttentionBlockOptions) {
    super();
    this.#outputScale = outputScale;
    this.#heads = Math.floor(channels / headDim);
    if (this.#heads === 0)
      throw new RangeError(`AttentionBlock: heads of ${headDim} (attention_head_dim) do not fit ${channels} channels`);
    const inner = this.#heads * headDim;
    this.group_norm = groups === null ? null : new GroupNorm(groups, channels, eps);
    this.to_q = new Linear(channels, inner);
    this.to_k = new Linear(channels, inner);
    this.to_v = new Linear(channels, inner);
    this.to_out = [new Linear(inner, channels), null];
    this.#projections = new LinearStack([this.to_q, this.to_k, this.to_v]);
  }

  /** @param x [batch, height, width, channels] */
  forward(x: Tensor): Tensor {
    return x.device.scope(() => {
      const [batch, height, width, channels] = x.shape;
      const tokens = (this.group_norm?.forward(x) ?? x).reshape([batch, height * width, channels]);
      const [q, k, v] = this.#projections.forward(tokens);
      const mixed = attention(q, k, v, { heads: this.#heads });
      const y = this.to_out[0].forward(mixed, { residual: x.reshape(tokens.shape) }).reshape(x.shape);
      return this.#outputScale === 1 ? y : linearCombination([[1 / this.#outputScale, y]]);
    });
  }
}

/** Width from which GEGLU is fused with its projection: below, the saved traffic is not worth one more kernel to compile. */
const FUSED_WIDTH = 256;

export class GEGLU extends Module {
  readonly proj: Linear;
  /** FlaxUNet2DConditionModel sets "tanh". */
  approximate: GELUApproximation = "none";

  constructor(width: number, inner: number) {
    super();
    this.proj = new Linear(width, 2 * inner, { gated: inner % 4 === 0 && inner >= FUSED_WIDTH });
  }

  /** value * gelu(gate): in one kernel, where values and gates fill quads. */
  forward(x: Tensor): Tensor {
    const { proj, approximate } = this;
    if (proj.weight.packing === "gated")
      return proj.forward(x, { gated: approximate === "tanh" ? "gelu_tanh" : "gelu" });
    return x.device.scope(() => geglu(proj.forward(x), this));
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
    return x.device.scope(() => this.net[2].forward(this.net[0].forward(x), { residual }));
  }
}

/**
 * Self-attention, cross-attention, feed-forward, each after a layer norm and with a residual. With `onlyCross` the first
 * one attends to the prompt too, and takes no mask, as in diffusers.
 */
class BasicTransformerBlock extends Module {
  readonly norm1: LayerNorm;
  readonly attn1: Attention;
  readonly norm2: LayerNorm;
  readonly attn2: Attention;
  readonly norm3: LayerNorm;
  readonly ff: FeedForward;
  readonly #onlyCross: boolean;

  constructor(width: number, heads: number, contextWidth: number, onlyCross = false) {
    super();
    this.#onlyCross = onlyCross;
    this.norm1 = new LayerNorm(width);
    this.attn1 = new Attention(width, heads, { contextWidth: onlyCross ? contextWidth : undefined });
    this.norm2 = new LayerNorm(width);
    this.attn2 = new Attention(width, heads, { contextWidth });
    this.norm3 = new LayerNorm(width);
    this.ff = new FeedForward(width);
  }

  forward(x: Tensor, { context, contextMask, images }: Prompt): Tensor {
    return x.device.scope(() => {
      const a = this.attn1.forward(this.norm1.forward(x), {
        context: this.#onlyCross ? context : undefined,
        residual: x,
      });
      const b = this.attn2.forward(this.norm2.forward(a), { context, mask: contextMask, images, residual: a });
      return this.ff.forward(this.norm3.forward(b), b);
    });
  }
}

export interface TransformerOptions {
  channels: number;
  /** What remains of the channels after dividing by it has no head, as in diffusers. */
  heads: number;
  contextWidth: number;
  depth: number;
  groups: number;
  /** Projections are linear layers (SD 2) instead of 1x1 convolutions (SD 1): the same product under other shapes. */
  linearProjection: boolean;
  /** The prompt instead of self-attention. */
  onlyCross?: boolean;
}

/** Transformer blocks over the pixels of a feature map, with a residual around all of them. */
export class Transformer2DModel extends Module {
  readonly norm: GroupNorm;
  readonly proj_in: Linear | Conv2d;
  readonly transformer_blocks: readonly BasicTransformerBlock[];
  readonly proj_out: Linear | Conv2d;

  constructor(options: TransformerOptions) {
    super();
    const { channels, heads, contextWidth, depth, groups, linearProjection, onlyCross } = options;
    const inner = heads * Math.floor(channels / heads);
    if (inner === 0)
      throw new RangeError(`Transformer2DModel: ${heads} heads (attention_head_dim) do not fit ${channels} channels`);
    const projection = (from: number, to: number): Linear | Conv2d =>
      linearProjection ? new Linear(from, to) : new Conv2d(from, to, { kernel: 1 });
    this.norm = new GroupNorm(groups, channels, 1e-6);
    this.proj_in = projection(channels, inner);
    this.transformer_blocks = Array.from(
      { length: depth },
      () => new BasicTransformerBlock(inner, heads, contextWidth, onlyCross),
    );
    this.proj_out = projection(inner, channels);
  }

  /** @param x [batch, height, width, channels] */
  forward(x: Tensor, prompt: Prompt): Tensor {
    return x.device.scope(() => {
      const [batch, height, width] = x.shape;
      const projected = this.proj_in.forward(this.norm.forward(x));
      const inner = projected.shape[3];
      let tokens = projected.reshape([batch, height * width, inner]);
      for (const block of this.transformer_blocks) {
        const next = block.forward(tokens, prompt);
        tokens.dispose();
        tokens = next;
      }
      return this.proj_out.forward(tokens.reshape([batch, height, width, inner]), { residual: x });
    });
  }
}
