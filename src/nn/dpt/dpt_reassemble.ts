/** Tokens to feature maps of different sizes: DPTReassembleStage of transformers' modeling_dpt.py. */
import { permute, repeatRows, slice } from "../../tensor/ops/copy.js";
import { add } from "../../tensor/ops/elementwise.js";
import { matmul } from "../../tensor/ops/matmul.js";
import { concat } from "../../tensor/ops/shape.js";
import type { Tensor } from "../../tensor/tensor.js";
import { Conv2d, Linear } from "../layers.js";
import { Module, Parameter } from "../module.js";
import type { DPTConfig } from "./dpt_config.js";

/** torch.nn.ConvTranspose2d whose windows do not overlap: each pixel becomes factor x factor. */
class PatchUpsample extends Module {
  readonly weight: Parameter;
  readonly bias: Parameter;
  readonly #factor: number;

  constructor(channels: number, factor: number) {
    super();
    this.weight = new Parameter([channels, channels, factor, factor]);
    this.bias = new Parameter([channels]);
    this.#factor = factor;
  }

  /** @param x [batch, height, width, channels] */
  forward(x: Tensor): Tensor {
    const [batch, height, width, channels] = x.shape;
    const factor = this.#factor;
    // The pixels of a row of a window lie behind each other in the result.
    const [weight] = this.weight.value.memo(byPixel, () => [byPixel(this.weight.value)]);
    const [bias] = this.bias.value.memo(repeatRows, () => [
      repeatRows(this.bias.value.reshape([1, channels]), factor ** 2).reshapeOwned([factor ** 2 * channels]),
    ]);
    return x.device.scope(() => {
      const windows = matmul(x, weight, { bias }).reshape([batch * height, width, factor, factor * channels]);
      return permute(windows, [0, 2, 1, 3]).reshape([batch, height * factor, width * factor, channels]);
    });
  }
}

/** [in, out, kh, kw] to [in, kh * kw * out]. */
const byPixel = (weight: Tensor): Tensor =>
  permute(weight, [0, 2, 3, 1]).reshapeOwned([weight.shape[0], weight.size / weight.shape[0]]);

/** Changes the width of a feature map, and its size by a factor. */
class DPTReassembleLayer extends Module {
  readonly projection: Conv2d;
  readonly resize: PatchUpsample | Conv2d | null;

  constructor(width: number, channels: number, factor: number) {
    super();
    this.projection = new Conv2d(width, channels, { kernel: 1 });
    this.resize =
      factor > 1
        ? new PatchUpsample(channels, factor)
        : factor < 1
          ? new Conv2d(channels, channels, { stride: Math.trunc(1 / factor) })
          : null;
  }

  forward(x: Tensor): Tensor {
    return x.device.scope(() => {
      const h = this.projection.forward(x);
      return this.resize?.forward(h) ?? h;
    });
  }
}

/** What of a hybrid comes from its backbone, as it is. */
const MAPS = 2;

export class DPTReassembleStage extends Module {
  readonly layers: readonly (DPTReassembleLayer | null)[];
  readonly readout_projects: readonly (readonly [Linear] | null)[] | null;
  readonly #config: DPTConfig;

  constructor(config: DPTConfig) {
    super();
    const {
      hidden_size: width,
      neck_hidden_sizes: sizes,
      reassemble_factors: factors,
      readout_type,
      is_hybrid,
    } = config;
    const first = is_hybrid ? MAPS : 0;
    this.#config = config;
    this.layers = sizes.map((size, i) => (i < first ? null : new DPTReassembleLayer(width, size, factors[i])));
    this.readout_projects =
      readout_type === "project" ? sizes.map((_, i) => (i < first ? null : [new Linear(2 * width, width)])) : null;
  }

  /**
   * @param features feature maps (of a hybrid's first two), NHWC, and tokens [batch, 1 + side * side, hidden_size]
   * @returns feature maps
   */
  forward(features: readonly Tensor[]): Tensor[] {
    return features.map((feature, i) => {
      const layer = this.layers[i];
      return layer ? feature.device.scope(() => layer.forward(this.#image(feature, i))) : feature;
    });
  }

  /** Tokens without that of the class, with what it says. */
  #image(tokens: Tensor, i: number): Tensor {
    const [batch, count, width] = tokens.shape;
    const { readout_type: readout, hidden_act: activation } = this.#config;
    const patches = slice(tokens, 1, 1, count - 1);
    const side = Math.sqrt(count - 1);
    const said = (): Tensor =>
      repeatRows(slice(tokens, 1, 0, 1).reshape([batch, width]), count - 1).reshape(patches.shape);
    const image = (x: Tensor): Tensor => x.reshape([batch, side, side, width]);
    if (readout === "ignore") return image(patches);
    if (readout === "add") return image(add(patches, said()));
    const [project] = this.readout_projects![i]!;
    return image(project.forward(concat(patches, said(), 2), { activation }));
  }
}
