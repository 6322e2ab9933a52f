/** From what an image encoder says of a picture to tokens that a UNet attends to: image projections of diffusers' embeddings.py. */
import { Columns } from "../../tensor/columns.js";
import { attention } from "../../tensor/ops/attention.js";
import { repeatRows } from "../../tensor/ops/copy.js";
import { concat } from "../../tensor/ops/shape.js";
import type { Tensor } from "../../tensor/tensor.js";
import { LayerNorm, Linear } from "../layers.js";
import { Module, Parameter } from "../module.js";

/** Fields are named as in the files of the first implementation (tencent-ailab/IP-Adapter), which diffusers renames. */
export interface ImageProjection extends Module {
  /** Whether it reads all tokens of the encoder's last layer but one, and not the picture's one embedding. */
  readonly readsHiddenStates: boolean;
  /** Of what it reads, as the file has it. */
  readonly inputWidth: number;
  /** @param x [pictures, inputWidth], or [pictures, encoder's tokens, inputWidth]; returns [pictures, tokens, width] */
  forward(x: Tensor): Tensor;
}

/** IP-Adapter: four tokens of one embedding. */
export class TokenProjection extends Module implements ImageProjection {
  readonly readsHiddenStates = false;
  readonly proj: Linear;
  readonly norm: LayerNorm;
  readonly #width: number;

  constructor(
    readonly inputWidth: number,
    outputs: number,
  ) {
    super();
    this.#width = outputs / TOKENS;
    this.proj = new Linear(inputWidth, outputs);
    this.norm = new LayerNorm(this.#width);
  }

  forward(x: Tensor): Tensor {
    const tokens = (): Tensor => this.proj.forward(x).reshape([x.shape[0], TOKENS, this.#width]);
    return x.device.scope(() => this.norm.forward(tokens()));
  }
}

/** Of an IP-Adapter that is no other kind; files do not say it. */
export const TOKENS = 4;

/** IP-Adapter Full: a token of each token of the encoder. */
export class FullProjection extends Module implements ImageProjection {
  readonly readsHiddenStates = true;
  readonly proj: readonly [Linear, null, Linear, LayerNorm];

  constructor(
    readonly inputWidth: number,
    width: number,
  ) {
    super();
    this.proj = [new Linear(inputWidth, inputWidth), null, new Linear(inputWidth, width), new LayerNorm(width)];
  }

  forward(x: Tensor): Tensor {
    const [first, , second, norm] = this.proj;
    return x.device.scope(() => norm.forward(second.forward(first.forward(x, { activation: "gelu" }))));
  }
}

/** Channels of a head. */
const HEAD = 64;

/** Queries that attend to a picture and to each other. */
class PerceiverAttention extends Module {
  readonly norm1: LayerNorm;
  readonly norm2: LayerNorm;
  readonly to_q: Linear;
  readonly to_kv: Linear;
  readonly to_out: Linear;
  readonly #inner: number;

  constructor(width: number, inner: number) {
    super();
    this.#inner = inner;
    this.norm1 = new LayerNorm(width);
    this.norm2 = new LayerNorm(width);
    this.to_q = new Linear(width, inner, { bias: false });
    this.to_kv = new Linear(width, 2 * inner, { bias: false });
    this.to_out = new Linear(inner, width, { bias: false });
  }

  forward(x: Tensor, latents: Tensor): Tensor {
    return x.device.scope(() => {
      const inner = this.#inner;
      const own = this.norm2.forward(latents);
      const kv = this.to_kv.forward(concat(this.norm1.forward(x), own, 1));
      const [k, v] = [new Columns(kv, 0, inner), new Columns(kv, inner, inner)];
      const mixed = attention(this.to_q.forward(own), k, v, { heads: inner / HEAD });
      return this.to_out.forward(mixed, { residual: latents });
    });
  }
}

type PerceiverLayer = readonly [PerceiverAttention, readonly [LayerNorm, Linear, null, Linear]];

/** Sizes of a Resampler. */
export interface ResamplerShape {
  inputWidth: number;
  /** Of the queries. */
  hidden: number;
  queries: number;
  depth: number;
  /** Of all heads. */
  inner: number;
  /** Of the feed-forward layers. */
  forward: number;
  /** Of the tokens. */
  width: number;
}

/** IP-Adapter Plus: as many tokens as it has learned queries (Resampler). */
export class Resampler extends Module implements ImageProjection {
  readonly readsHiddenStates = true;
  readonly inputWidth: number;
  readonly latents: Parameter;
  readonly proj_in: Linear;
  readonly layers: readonly PerceiverLayer[];
  readonly proj_out: Linear;
  readonly norm_out: LayerNorm;

  constructor({ inputWidth, hidden, queries, depth, inner, forward, width }: ResamplerShape) {
    super();
    this.inputWidth = inputWidth;
    this.latents = new Parameter([1, queries, hidden]);
    this.proj_in = new Linear(inputWidth, hidden);
    this.layers = Array.from({ length: depth }, () => [
      new PerceiverAttention(hidden, inner),
      [
        new LayerNorm(hidden),
        new Linear(hidden, forward, { bias: false }),
        null,
        new Linear(forward, hidden, { bias: false }),
      ],
    ]);
    this.proj_out = new Linear(hidden, width);
    this.norm_out = new LayerNorm(width);
  }

  forward(x: Tensor): Tensor {
    return x.device.scope(() => {
      const read = this.proj_in.forward(x);
      let latents = repeatRows(this.latents.value, x.shape[0]);
      for (const [attend, [norm, up, , down]] of this.layers) {
        const seen = attend.forward(read, latents);
        latents = down.forward(up.forward(norm.forward(seen), { activation: "gelu" }), { residual: seen });
      }
      return this.norm_out.forward(this.proj_out.forward(latents));
    });
  }
}
