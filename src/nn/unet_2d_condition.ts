/** UNet2DConditionModel of Stable Diffusion 1 and 2, diffusers/models/unets/unet_2d_condition.py. */
import { cast, toNCHW, toNHWC } from "../tensor/ops/copy.js";
import type { Tensor } from "../tensor/tensor.js";
import { Transformer2DModel } from "./attention.js";
import { anything, isBoolean, isCount, isNumber, either, listOf, nullOr, oneOf, type ConfigSchema } from "./config.js";
import { TimestepEmbedding } from "./embeddings.js";
import { Conv2d, GroupNorm } from "./layers.js";
import { PretrainedModel } from "./pretrained.js";
import type { DownBlock2D, MidBlock2D, UpBlock2D } from "./unet_2d_blocks.js";
import { runUNet, sinusoids, timestepsFor, unetBlocks } from "./unet_2d_trunk.js";

const schema: ConfigSchema = {
  name: "UNet2DConditionModel",
  defaults: {
    sample_size: null,
    in_channels: 4,
    out_channels: 4,
    center_input_sample: false,
    flip_sin_to_cos: true,
    freq_shift: 0,
    down_block_types: ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
    mid_block_type: "UNetMidBlock2DCrossAttn",
    up_block_types: ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"],
    only_cross_attention: false,
    block_out_channels: [320, 640, 1280, 1280],
    layers_per_block: 2,
    downsample_padding: 1,
    mid_block_scale_factor: 1,
    dropout: 0,
    act_fn: "silu",
    norm_num_groups: 32,
    norm_eps: 1e-5,
    cross_attention_dim: 1280,
    transformer_layers_per_block: 1,
    reverse_transformer_layers_per_block: null,
    encoder_hid_dim: null,
    encoder_hid_dim_type: null,
    attention_head_dim: 8,
    num_attention_heads: null,
    dual_cross_attention: false,
    use_linear_projection: false,
    class_embed_type: null,
    addition_embed_type: null,
    addition_time_embed_dim: null,
    num_class_embeds: null,
    upcast_attention: false,
    resnet_time_scale_shift: "default",
    resnet_skip_time_act: false,
    resnet_out_scale_factor: 1,
    time_embedding_type: "positional",
    time_embedding_dim: null,
    time_embedding_act_fn: null,
    timestep_post_act: null,
    time_cond_proj_dim: null,
    conv_in_kernel: 3,
    conv_out_kernel: 3,
    projection_class_embeddings_input_dim: null,
    attention_type: "default",
    class_embeddings_concat: false,
    mid_block_only_cross_attention: null,
    cross_attention_norm: null,
    addition_embed_type_num_heads: 64,
  },
  rules: {
    sample_size: nullOr(either(isCount, listOf(isCount))),
    in_channels: isCount,
    out_channels: isCount,
    flip_sin_to_cos: isBoolean,
    freq_shift: isNumber,
    down_block_types: listOf(oneOf("CrossAttnDownBlock2D", "DownBlock2D")),
    up_block_types: listOf(oneOf("CrossAttnUpBlock2D", "UpBlock2D")),
    block_out_channels: listOf(isCount),
    layers_per_block: isCount,
    downsample_padding: oneOf(0, 1),
    dropout: anything, // has no effect when drawing
    norm_num_groups: isCount,
    norm_eps: isNumber,
    cross_attention_dim: isCount,
    transformer_layers_per_block: either(isCount, listOf(isCount)),
    attention_head_dim: either(isCount, listOf(isCount)),
    num_attention_heads: nullOr(either(isCount, listOf(isCount))),
    use_linear_projection: isBoolean,
    upcast_attention: isBoolean, // attention is in float32 here always
    time_cond_proj_dim: nullOr(isCount),
    addition_embed_type_num_heads: anything, // read only with an addition_embed_type
    resnet_out_scale_factor: oneOf(1),
    mid_block_scale_factor: oneOf(1),
  },
};

interface UNetConfig {
  sample_size: number | number[] | null;
  in_channels: number;
  out_channels: number;
  flip_sin_to_cos: boolean;
  freq_shift: number;
  down_block_types: string[];
  up_block_types: string[];
  block_out_channels: number[];
  layers_per_block: number;
  downsample_padding: 0 | 1;
  norm_num_groups: number;
  norm_eps: number;
  cross_attention_dim: number;
  transformer_layers_per_block: number | number[];
  attention_head_dim: number | number[];
  num_attention_heads: number | number[] | null;
  use_linear_projection: boolean;
  time_cond_proj_dim: number | null;
}

export interface UNetForwardOptions {
  /** [batch, time_cond_proj_dim]: the guidance embedding of distilled models. */
  timestepCond?: Tensor;
  /** Of models with an addition_embed_type (SDXL), which this version does not load; refused. */
  addedCondKwargs?: undefined;
  /** Of class-conditional models, which this version does not load; refused. */
  classLabels?: undefined;
}

export class UNet2DConditionModel extends PretrainedModel<UNetConfig> {
  static readonly className = "UNet2DConditionModel";
  readonly conv_in: Conv2d;
  readonly time_embedding: TimestepEmbedding;
  readonly down_blocks: readonly DownBlock2D[];
  readonly mid_block: MidBlock2D;
  readonly up_blocks: readonly UpBlock2D[];
  readonly conv_norm_out: GroupNorm;
  readonly conv_out: Conv2d;

  constructor(given: Readonly<Record<string, unknown>> = {}) {
    super(schema, given);
    const config = this.config;
    const widths = config.block_out_channels;
    const levels = widths.length;
    const perLevel = (value: number | number[], key: string): number[] => {
      const list = Array.isArray(value) ? value : widths.map(() => value);
      if (list.length === levels) return list;
      throw new TypeError(
        `UNet2DConditionModel: config ${key} needs ${levels} entries, one per block_out_channels, got ${list.length}`,
      );
    };
    perLevel(
      config.down_block_types.map(() => 1),
      "down_block_types",
    );
    perLevel(
      config.up_block_types.map(() => 1),
      "up_block_types",
    );
    // attention_head_dim is the number of heads: a misnomer of SD 1 that diffusers keeps for compatibility.
    const heads = perLevel(config.num_attention_heads ?? config.attention_head_dim, "attention_head_dim");
    const depths = perLevel(config.transformer_layers_per_block, "transformer_layers_per_block");
    const tembChannels = 4 * widths[0];
    const last = levels - 1;
    const transformer = (level: number) => (): Transformer2DModel =>
      new Transformer2DModel({
        ...{ channels: widths[level], heads: heads[level], depth: depths[level] },
        ...{ groups: config.norm_num_groups, contextWidth: config.cross_attention_dim },
        linearProjection: config.use_linear_projection,
      });

    this.conv_in = new Conv2d(config.in_channels, widths[0]);
    this.time_embedding = new TimestepEmbedding(widths[0], tembChannels, config.time_cond_proj_dim);
    const blocks = unetBlocks({
      ...{ widths, tembChannels, groups: config.norm_num_groups, eps: config.norm_eps },
      ...{ layers: config.layers_per_block, downsamplePadding: config.downsample_padding },
      attention: {
        down: config.down_block_types.map((type, i) => (type === "CrossAttnDownBlock2D" ? transformer(i) : null)),
        mid: transformer(last),
        up: config.up_block_types.map((type, i) => (type === "CrossAttnUpBlock2D" ? transformer(last - i) : null)),
      },
    });
    this.down_blocks = blocks.down_blocks;
    this.mid_block = blocks.mid_block;
    this.up_blocks = blocks.up_blocks;
    this.conv_norm_out = new GroupNorm(config.norm_num_groups, widths[0], config.norm_eps);
    this.conv_out = new Conv2d(widths[0], config.out_channels);
  }

  /**
   * Predicts the noise (or v, or the sample: the scheduler's prediction_type says which).
   * @param sample [batch, in_channels, height, width]
   * @param timestep one for the batch, or one per image
   * @param encoderHiddenStates the encoded prompt, [batch, tokens, cross_attention_dim]
   * @returns sample [batch, out_channels, height, width] in the dtype of `sample`
   */
  forward(
    sample: Tensor,
    timestep: number | readonly number[],
    encoderHiddenStates: Tensor,
    options: UNetForwardOptions = {},
  ): { sample: Tensor } {
    const { config, dtype } = this;
    const [batch, channels] = sample.shape;
    if (sample.shape.length !== 4 || channels !== config.in_channels)
      throw new RangeError(
        `UNet2DConditionModel: sample must be [batch, ${config.in_channels}, height, width], got [${sample.shape.join(", ")}]`,
      );
    const [contextBatch, , contextWidth] = encoderHiddenStates.shape;
    if (contextBatch !== batch || contextWidth !== config.cross_attention_dim)
      throw new RangeError(
        `UNet2DConditionModel: encoderHiddenStates must be [${batch}, tokens, ${config.cross_attention_dim}], got [${encoderHiddenStates.shape.join(", ")}]`,
      );
    for (const name of ["addedCondKwargs", "classLabels"] as const)
      if (options[name] != null)
        throw new TypeError(`UNet2DConditionModel: ${name} was given, but the config has no use for it`);
    const timesteps = timestepsFor("UNet2DConditionModel", timestep, batch);
    return sample.device.scope(() => {
      const as = (x: Tensor): Tensor => (x.dtype === dtype ? x : cast(x, dtype));
      const temb = this.#embedTime(sample, timesteps, options.timestepCond && as(options.timestepCond));
      const conditioning = { temb, context: as(encoderHiddenStates) };
      const y = toNCHW(runUNet(this, as(toNHWC(sample)), conditioning));
      return { sample: y.dtype === sample.dtype ? y : cast(y, sample.dtype) };
    });
  }

  /** silu(time embedding), [batch, 4 * block_out_channels[0]]. */
  #embedTime(sample: Tensor, timesteps: readonly number[], condition?: Tensor): Tensor {
    const { config, dtype } = this;
    if (condition && !this.time_embedding.cond_proj)
      throw new TypeError("UNet2DConditionModel: timestepCond was given, but config time_cond_proj_dim is null");
    return this.time_embedding.forward(sinusoids(sample, dtype, timesteps, config), condition);
  }
}
