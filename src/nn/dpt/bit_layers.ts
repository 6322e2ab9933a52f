/** The layers of BiT (Kolesnikov et al. 2020), transformers' modeling_bit.py. */
import type { Edges } from "../../tensor/ops/conv2d.js";
import { permute } from "../../tensor/ops/copy.js";
import { add } from "../../tensor/ops/elementwise.js";
import { layerNorm } from "../../tensor/ops/norm.js";
import { Tensor } from "../../tensor/tensor.js";
import { activate, normalized } from "../activations.js";
import { Conv2d, GroupNorm } from "../layers.js";
import { Module } from "../module.js";
import type { BitConfig } from "./bit_config.js";

const GROUP_EPS = 1e-5;
/** Of weight standardization. */
const WEIGHT_EPS = 1e-8;

/** The next multiple of 8, but for those that would be a tenth less. */
export function makeDivisible(value: number): number {
  const rounded = Math.max(8, Math.floor((value + 4) / 8) * 8);
  return rounded < 0.9 * value ? rounded + 8 : rounded;
}

export const groupNorm = (config: BitConfig, channels: number): GroupNorm =>
  new GroupNorm(config.num_groups, channels, GROUP_EPS);

/** TensorFlow's "SAME": zeros so that there is a result for each stride begun, an odd one after the image. */
export function samePadding({ shape: [, height, width] }: Tensor, kernel: number, stride: number): Edges {
  const [y, x] = [height, width].map((n) => Math.max(0, (Math.ceil(n / stride) - 1) * stride + kernel - n));
  return [y >> 1, y - (y >> 1), x >> 1, x - (x >> 1)];
}

/** A convolution whose weights have mean 0 and variance 1 for each output (Qiao et al. 2019): so they are made once, and kept. */
export class WeightStandardizedConv2d extends Conv2d {
  readonly #same: readonly [kernel: number, stride: number] | null;

  constructor(
    { global_padding }: BitConfig,
    inChannels: number,
    outChannels: number,
    { kernel, stride = 1 }: { kernel: number; stride?: number },
  ) {
    super(inChannels, outChannels, { kernel, stride, padding: (stride + kernel - 2) >> 1, bias: false });
    this.#same = global_padding === "SAME" && stride > 1 ? [kernel, stride] : null;
  }

  protected override get kernel(): Tensor {
    const weight = this.weight.value;
    return weight.memo(standardized, () => [standardized(weight)])[0];
  }

  protected override paddingOf(x: Tensor): Edges | number | undefined {
    return this.#same ? samePadding(x, ...this.#same) : super.paddingOf(x);
  }
}

/** @param weight [kh, kw, in, out] */
function standardized(weight: Tensor): Tensor {
  const { device, dtype, shape } = weight;
  const [out] = shape.slice(-1);
  const each = weight.size / out;
  const constant = (value: number): Tensor =>
    Tensor.from(new Float32Array(each).fill(value), [each], { device, dtype });
  return device.scope(() => {
    const rows = permute(weight.reshape([each, out]), [1, 0]);
    return permute(layerNorm(rows, constant(1), constant(0), { eps: WEIGHT_EPS }), [1, 0]).reshape(shape);
  });
}

/** Where a layer stands. */
export interface BitLayerShape {
  inChannels: number;
  outChannels: number;
  stride: number;
  /** Whether the shortcut is a convolution. */
  isFirst: boolean;
}

class BitDownsampleConv extends Module {
  readonly conv: WeightStandardizedConv2d;
  readonly norm: GroupNorm | null;

  constructor(config: BitConfig, { inChannels, outChannels, stride }: BitLayerShape) {
    super();
    this.conv = new WeightStandardizedConv2d(config, inChannels, outChannels, { kernel: 1, stride });
    this.norm = config.layer_type === "preactivation" ? null : groupNorm(config, outChannels);
  }

  forward(x: Tensor): Tensor {
    return x.device.scope(() => {
      const y = this.conv.forward(x);
      return this.norm?.forward(y) ?? y;
    });
  }
}

/** A bottleneck with norms and activations before the convolutions (He et al. 2016) or behind them, as the config says. */
export class BitLayer extends Module {
  readonly downsample: BitDownsampleConv | null;
  readonly norm1: GroupNorm;
  readonly conv1: WeightStandardizedConv2d;
  readonly norm2: GroupNorm;
  readonly conv2: WeightStandardizedConv2d;
  readonly norm3: GroupNorm;
  readonly conv3: WeightStandardizedConv2d;
  readonly #config: BitConfig;

  constructor(config: BitConfig, shape: BitLayerShape) {
    super();
    const { inChannels, outChannels, stride } = shape;
    const inner = makeDivisible(outChannels / 4);
    const isBefore = config.layer_type === "preactivation";
    this.#config = config;
    this.downsample = shape.isFirst ? new BitDownsampleConv(config, shape) : null;
    this.norm1 = groupNorm(config, isBefore ? inChannels : inner);
    this.conv1 = new WeightStandardizedConv2d(config, inChannels, inner, { kernel: 1 });
    this.norm2 = groupNorm(config, inner);
    this.conv2 = new WeightStandardizedConv2d(config, inner, inner, { kernel: 3, stride });
    this.norm3 = groupNorm(config, isBefore ? inner : outChannels);
    this.conv3 = new WeightStandardizedConv2d(config, inner, outChannels, { kernel: 1 });
  }

  forward(x: Tensor): Tensor {
    const { layer_type, hidden_act } = this.#config;
    return x.device.scope(() => {
      if (layer_type === "preactivation") {
        const first = normalized(this.norm1, x, hidden_act);
        const residual = this.downsample?.forward(first) ?? x;
        const second = normalized(this.norm2, this.conv1.forward(first), hidden_act);
        return this.conv3.forward(normalized(this.norm3, this.conv2.forward(second), hidden_act), { residual });
      }
      const shortcut = this.downsample?.forward(x) ?? x;
      const first = normalized(this.norm1, this.conv1.forward(x), hidden_act);
      const second = normalized(this.norm2, this.conv2.forward(first), hidden_act);
      return activate(add(this.norm3.forward(this.conv3.forward(second)), shortcut), hidden_act);
    });
  }
}
