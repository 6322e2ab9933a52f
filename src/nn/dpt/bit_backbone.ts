/** BiT's feature maps (Kolesnikov et al. 2020), transformers' BitBackbone (modeling_bit.py). */
import { maxPool } from "../../tensor/ops/max_pool.js";
import type { Tensor } from "../../tensor/tensor.js";
import { normalized } from "../activations.js";
import { sequence, type GroupNorm } from "../layers.js";
import { Module } from "../module.js";
import { outIndices, type BitConfig } from "./bit_config.js";
import { BitLayer, groupNorm, makeDivisible, samePadding, WeightStandardizedConv2d } from "./bit_layers.js";

const POOL = { kernel: 3, stride: 2 };

/** A quarter of the height and width. */
class BitEmbeddings extends Module {
  readonly convolution: WeightStandardizedConv2d;
  readonly norm: GroupNorm | null;
  readonly #config: BitConfig;

  constructor(config: BitConfig) {
    super();
    const { num_channels, embedding_size: width } = config;
    this.#config = config;
    this.convolution = new WeightStandardizedConv2d(config, num_channels, width, { kernel: 7, stride: 2 });
    this.norm = config.layer_type === "preactivation" ? null : groupNorm(config, width);
  }

  forward(x: Tensor): Tensor {
    const { global_padding, embedding_dynamic_padding: dynamic, hidden_act } = this.#config;
    const { norm } = this;
    return sequence(x, [
      (h) => this.convolution.forward(h),
      // Zeros around it are normalized with it.
      (h) => (global_padding === "SAME" ? h : maxPool(h, { kernel: 1, stride: 1, padding: [1, 1, 1, 1] })),
      (h) => (norm ? normalized(norm, h, hidden_act) : h),
      (h) => maxPool(h, { ...POOL, padding: dynamic ? samePadding(h, POOL.kernel, POOL.stride) : undefined }),
    ]);
  }
}

class BitStage extends Module {
  readonly layers: readonly BitLayer[];

  constructor(
    config: BitConfig,
    { depth, ...shape }: { depth: number; inChannels: number; outChannels: number; stride: number },
  ) {
    super();
    const rest = { ...shape, inChannels: shape.outChannels, stride: 1, isFirst: false };
    this.layers = Array.from(
      { length: depth },
      (_, i) => new BitLayer(config, i === 0 ? { ...shape, isFirst: true } : rest),
    );
  }

  forward(x: Tensor): Tensor {
    return sequence(
      x,
      this.layers.map((layer) => (h) => layer.forward(h)),
    );
  }
}

class BitEncoder extends Module {
  readonly stages: readonly BitStage[];

  constructor(config: BitConfig) {
    super();
    const { embedding_size, hidden_sizes, depths, output_stride, width_factor } = config;
    let inChannels = embedding_size;
    let strides = 4;
    this.stages = depths.map((depth, i) => {
      const outChannels = makeDivisible(hidden_sizes[i] * width_factor);
      const stride = i === 0 || strides >= output_stride ? 1 : 2;
      const stage = new BitStage(config, { depth, inChannels, outChannels, stride });
      inChannels = outChannels;
      strides *= stride;
      return stage;
    });
  }
}

class BitModel extends Module {
  readonly embedder: BitEmbeddings;
  readonly encoder: BitEncoder;
  /** Files have it; feature maps go without. */
  readonly norm: GroupNorm | null;

  constructor(config: BitConfig) {
    super();
    this.embedder = new BitEmbeddings(config);
    this.encoder = new BitEncoder(config);
    this.norm = config.layer_type === "preactivation" ? groupNorm(config, config.hidden_sizes.at(-1)!) : null;
  }
}

export class BitBackbone extends Module {
  readonly bit: BitModel;
  readonly #wanted: readonly number[];

  /** @throws TypeError naming a key of the config */
  constructor(name: string, config: BitConfig) {
    super();
    this.bit = new BitModel(config);
    this.#wanted = outIndices(name, config);
  }

  /** Widths of the feature maps that forward() gives. */
  static widths(name: string, config: BitConfig): number[] {
    const all = [config.embedding_size, ...config.hidden_sizes.map((n) => makeDivisible(n * config.width_factor))];
    return outIndices(name, config).map((i) => all[i]);
  }

  /** @param x [batch, height, width, num_channels] @returns the feature maps that the config asks for, NHWC, the largest first */
  forward(x: Tensor): Tensor[] {
    const { embedder, encoder } = this.bit;
    const maps: Tensor[] = [];
    let h = embedder.forward(x);
    for (const i of Array.from({ length: this.#wanted.at(-1)! + 1 }, (_, n) => n)) {
      if (i > 0) {
        const next = encoder.stages[i - 1].forward(h);
        if (!this.#wanted.includes(i - 1)) h.dispose();
        h = next;
      }
      if (this.#wanted.includes(i)) maps.push(h);
    }
    return maps;
  }
}
