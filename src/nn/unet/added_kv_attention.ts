/** Attention of DeepFloyd IF's and unCLIP's UNets: pixels attend to the prompt and to each other at once. */
import { attention } from "../../tensor/ops/attention.js";
import { biasedAttention } from "../../tensor/ops/biased_attention.js";
import { concat } from "../../tensor/ops/shape.js";
import type { Tensor } from "../../tensor/tensor.js";
import type { Prompt } from "../attention.js";
import { GroupNorm, LayerNorm, Linear } from "../layers.js";
import { Module, weightsOf } from "../module.js";

export interface AddedKVOptions {
  groups: number;
  headDim: number;
  contextWidth: number;
  /** The prompt only. */
  onlyCross: boolean;
  /** cross_attention_norm: how the prompt is normalized first. */
  contextNorm: "layer_norm" | "group_norm" | null;
}

/** Attention with AttnAddedKVProcessor, diffusers/models/attention_processor.py. */
export class AddedKVAttention extends Module {
  readonly group_norm: GroupNorm;
  readonly norm_cross: LayerNorm | GroupNorm | null;
  readonly to_q: Linear;
  readonly to_k: Linear | null;
  readonly to_v: Linear | null;
  readonly add_k_proj: Linear;
  readonly add_v_proj: Linear;
  readonly to_out: readonly [Linear, null];
  readonly #heads: number;

  constructor(channels: number, { groups, headDim, contextWidth, onlyCross, contextNorm }: AddedKVOptions) {
    super();
    if (channels % headDim !== 0)
      throw new RangeError(
        `AddedKVAttention: heads of ${headDim} (attention_head_dim) do not divide ${channels} channels`,
      );
    // diffusers gives the norm the width of the image's channels, and applies it to the prompt.
    if (contextNorm === "layer_norm" && channels !== contextWidth)
      throw new RangeError(
        `AddedKVAttention: config cross_attention_norm = "layer_norm" needs a prompt as wide as the ${channels} channels, cross_attention_dim is ${contextWidth}`,
      );
    this.group_norm = new GroupNorm(groups, channels, 1e-5);
    this.norm_cross =
      contextNorm === null
        ? null
        : contextNorm === "layer_norm"
          ? new LayerNorm(channels)
          : new GroupNorm(32, contextWidth, 1e-5);
    this.to_q = new Linear(channels, channels);
    this.to_k = onlyCross ? null : new Linear(channels, channels);
    this.to_v = onlyCross ? null : new Linear(channels, channels);
    this.add_k_proj = new Linear(contextWidth, channels);
    this.add_v_proj = new Linear(contextWidth, channels);
    this.to_out = [new Linear(channels, channels), null];
    this.#heads = channels / headDim;
  }

  /** @param x [batch, height, width, channels] */
  forward(x: Tensor, { context, contextMask: mask }: Prompt): Tensor {
    if (!context) throw new TypeError("AddedKVAttention: needs the encoded prompt");
    return x.device.scope(() => {
      const [batch, height, width, channels] = x.shape;
      const pixels = [batch, height * width, channels];
      const tokens = this.group_norm.forward(x).reshape(pixels);
      const [contextK, contextV] = context.memo(
        this,
        () => this.#project(context),
        weightsOf(this.add_k_proj, this.add_v_proj),
      );
      const k = this.to_k ? concat(contextK, this.to_k.forward(tokens), 1) : contextK;
      const v = this.to_v ? concat(contextV, this.to_v.forward(tokens), 1) : contextV;
      const q = this.to_q.forward(tokens);
      const heads = this.#heads;
      const mixed = mask ? biasedAttention(q, k, v, { heads, mask }) : attention(q, k, v, { heads });
      return this.to_out[0].forward(mixed, { residual: x.reshape(pixels) }).reshape(x.shape);
    });
  }

  /** The prompt's keys and values, kept with it. */
  #project(context: Tensor): readonly Tensor[] {
    const normed = this.norm_cross?.forward(context) ?? context;
    const projected = [this.add_k_proj.forward(normed), this.add_v_proj.forward(normed)];
    if (normed !== context) normed.dispose();
    return projected;
  }
}
