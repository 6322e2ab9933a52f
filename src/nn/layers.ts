/** The layers with weights. Activations are NHWC or [batch, tokens, channels]: channels last everywhere. */
import { conv2d, type Conv2dOptions, type Shortcut } from "../tensor/ops/conv2d.js";
import { matmul, type MatmulOptions } from "../tensor/ops/matmul.js";
import { groupNorm, layerNorm, type GroupNormOptions } from "../tensor/ops/norm.js";
import { Tensor } from "../tensor/tensor.js";
import { Module, Parameter } from "./module.js";

/** torch.nn.Linear: [..., in] to [..., out], with a fused residual and activation. */
export class Linear extends Module {
  readonly weight: Parameter;
  readonly bias: Parameter | null;

  /** @param options gated: outputs are values and gates, and forward takes matmul's `gated` */
  constructor(inFeatures: number, outFeatures: number, { bias = true, gated = false } = {}) {
    super();
    this.weight = new Parameter([outFeatures, inFeatures], gated ? "gated" : "linear");
    this.bias = bias ? new Parameter([outFeatures], gated ? "gated" : "none") : null;
  }

  forward(x: Tensor, options: Omit<MatmulOptions, "bias"> = {}): Tensor {
    return matmul(x, this.weight.value, { ...options, bias: this.bias?.value });
  }
}

export interface ConvShape {
  kernel?: number;
  stride?: number;
  padding?: Conv2dOptions["padding"];
  bias?: boolean;
}

export interface ConvForwardOptions extends Omit<Conv2dOptions, "stride" | "padding" | "shortcut"> {
  /** A 1x1 convolution that is added up in the same sums. */
  beside?: { conv: Conv2d; sources: Shortcut["sources"] };
}

/** torch.nn.Conv2d on NHWC, with fused bias, per-image shift, residual and activation. */
export class Conv2d extends Module {
  readonly weight: Parameter;
  readonly bias: Parameter | null;
  readonly #stride: number;
  readonly #padding: Conv2dOptions["padding"];
  readonly #pointwise: boolean;

  constructor(
    inChannels: number,
    outChannels: number,
    { kernel = 3, stride = 1, padding = kernel >> 1, bias = true }: ConvShape = {},
  ) {
    super();
    this.weight = new Parameter([outChannels, inChannels, kernel, kernel], "conv");
    this.bias = bias ? new Parameter([outChannels]) : null;
    this.#stride = stride;
    this.#padding = padding;
    this.#pointwise = kernel === 1 && stride === 1 && padding === 0;
  }

  /** What the image is multiplied by, [kh, kw, in, out]. */
  protected get kernel(): Tensor {
    return this.weight.value;
  }

  /** Zeros around an image. */
  protected paddingOf(_: Tensor): Conv2dOptions["padding"] {
    return this.#padding;
  }

  forward(x: Tensor, { beside, ...options }: ConvForwardOptions = {}): Tensor {
    const weight = this.kernel;
    const bias = this.#biasValue;
    const { conv, sources } = beside ?? {};
    const shortcut = conv && sources && { sources, weight: conv.kernel, bias: conv.#biasValue };
    if (!this.#pointwise || options.shift || options.upsample || shortcut)
      return conv2d(x, weight, bias, { ...options, stride: this.#stride, padding: this.paddingOf(x), shortcut });
    // A 1x1 convolution on NHWC is a matmul over pixels.
    const matrix = weight.reshape(weight.shape.slice(2));
    const y = matmul(x, matrix, { bias, residual: options.residual, activation: options.activation });
    matrix.dispose();
    return y;
  }

  /** The kernel always adds a bias; zeros are kept with the weight of a convolution without one. */
  get #biasValue(): Tensor {
    const weight = this.weight.value;
    return this.bias?.value ?? weight.memo(zeros, () => [zeros(weight)])[0];
  }
}

const zeros = ({ device, dtype, shape }: Tensor): Tensor =>
  Tensor.from(new Float32Array(shape[3]), [shape[3]], { dtype, device });

/** torch.nn.GroupNorm over the last axis, with a fused SiLU. */
export class GroupNorm extends Module {
  readonly weight: Parameter;
  readonly bias: Parameter;
  readonly #groups: number;
  readonly #eps: number;

  constructor(groups: number, channels: number, eps: number) {
    super();
    if (channels % groups !== 0)
      throw new RangeError(`GroupNorm: ${groups} groups (norm_num_groups) do not divide ${channels} channels`);
    this.weight = new Parameter([channels]);
    this.bias = new Parameter([channels]);
    this.#groups = groups;
    this.#eps = eps;
  }

  /** @param options skip: channels behind those of x, see groupNorm */
  forward(x: Tensor, options: Pick<GroupNormOptions, "silu" | "skip"> = {}): Tensor {
    return groupNorm(x, this.weight.value, this.bias.value, { ...options, groups: this.#groups, eps: this.#eps });
  }
}

/** torch.nn.LayerNorm over the last axis. */
export class LayerNorm extends Module {
  readonly weight: Parameter;
  readonly bias: Parameter;
  readonly #eps: number;

  constructor(width: number, eps = 1e-5) {
    super();
    this.weight = new Parameter([width]);
    this.bias = new Parameter([width]);
    this.#eps = eps;
  }

  forward(x: Tensor): Tensor {
    return layerNorm(x, this.weight.value, this.bias.value, { eps: this.#eps });
  }
}

/** A table of rows, torch.nn.Embedding's weight. */
export class Embedding extends Module {
  weight: Parameter;

  constructor(rows: number, width: number) {
    super();
    this.weight = new Parameter([rows, width]);
  }
}

/** Feeds x through layers one after another and frees each intermediate result as soon as the next one is recorded. */
export function sequence(x: Tensor, layers: readonly ((x: Tensor) => Tensor)[]): Tensor {
  let h = x;
  for (const layer of layers) {
    const next = layer(h);
    if (h !== x && h !== next) h.dispose();
    h = next;
  }
  return h;
}
