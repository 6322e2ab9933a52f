/** Feature maps of several sizes to one: DPTNeck and its DPTFeatureFusionStage of transformers' modeling_dpt.py (Ranftl et al. 2021). */
import { bilinear } from "../../tensor/ops/bilinear.js";
import { activation, add } from "../../tensor/ops/elementwise.js";
import type { Tensor } from "../../tensor/tensor.js";
import { Conv2d } from "../layers.js";
import { Module } from "../module.js";
import type { DPTConfig } from "./dpt_config.js";
import { DPTReassembleStage } from "./dpt_reassemble.js";

class DPTPreActResidualLayer extends Module {
  readonly convolution1: Conv2d;
  readonly convolution2: Conv2d;

  constructor({ fusion_hidden_size: width, use_bias_in_fusion_residual: bias }: DPTConfig) {
    super();
    this.convolution1 = new Conv2d(width, width, { bias: bias ?? true });
    this.convolution2 = new Conv2d(width, width, { bias: bias ?? true });
  }

  forward(x: Tensor): Tensor {
    return x.device.scope(() => {
      const h = this.convolution1.forward(activation(x, "relu"), { activation: "relu" });
      return this.convolution2.forward(h, { residual: x });
    });
  }
}

class DPTFeatureFusionLayer extends Module {
  readonly projection: Conv2d;
  readonly residual_layer1: DPTPreActResidualLayer;
  readonly residual_layer2: DPTPreActResidualLayer;

  constructor(config: DPTConfig) {
    super();
    this.projection = new Conv2d(config.fusion_hidden_size, config.fusion_hidden_size, { kernel: 1 });
    this.residual_layer1 = new DPTPreActResidualLayer(config);
    this.residual_layer2 = new DPTPreActResidualLayer(config);
  }

  /** @param x what was fused so far, null at first @param feature of the size of x, or about @returns twice the size */
  forward(x: Tensor | null, feature: Tensor): Tensor {
    return feature.device.scope(() => {
      let h = feature;
      if (x) {
        const [, height, width] = x.shape;
        const isSized = feature.shape[1] === height && feature.shape[2] === width;
        h = add(x, this.residual_layer1.forward(isSized ? feature : bilinear(feature, [height, width])));
      }
      h = this.residual_layer2.forward(h);
      return this.projection.forward(bilinear(h, [2 * h.shape[1], 2 * h.shape[2]], { corners: true }));
    });
  }
}

class DPTFeatureFusionStage extends Module {
  readonly layers: readonly DPTFeatureFusionLayer[];

  constructor(config: DPTConfig) {
    super();
    this.layers = config.neck_hidden_sizes.map(() => new DPTFeatureFusionLayer(config));
  }
}

export class DPTNeck extends Module {
  readonly reassemble_stage: DPTReassembleStage;
  readonly convs: readonly Conv2d[];
  readonly fusion_stage: DPTFeatureFusionStage;
  readonly #wanted: number;

  constructor(config: DPTConfig) {
    super();
    const { neck_hidden_sizes: sizes, fusion_hidden_size: width, head_in_index: index } = config;
    this.reassemble_stage = new DPTReassembleStage(config);
    this.convs = sizes.map((size) => new Conv2d(size, width, { bias: false }));
    this.fusion_stage = new DPTFeatureFusionStage(config);
    this.#wanted = index < 0 ? index + sizes.length : index;
  }

  /**
   * @param features those of reassemble_stage, the largest first
   * @returns what the head reads, [batch, height, width, fusion_hidden_size]: all features, or the smaller ones, as head_in_index says
   */
  forward(features: readonly Tensor[]): Tensor {
    const maps = this.reassemble_stage.forward(features);
    let fused: Tensor | null = null;
    // The smallest one first; what nobody reads is not computed.
    for (let k = 0; k <= this.#wanted; k++) {
      const i = maps.length - 1 - k;
      const feature = this.convs[i].forward(maps[i]);
      const next: Tensor = this.fusion_stage.layers[k].forward(fused, feature);
      for (const done of [fused, feature, maps[i]]) done?.dispose();
      fused = next;
    }
    return fused!;
  }
}
