/** UNet2DModel, the unconditional UNet of DDPM (Ho et al. 2020), diffusers/models/unets/unet_2d.py. */
import { cast, toNCHW, toNHWC } from "../tensor/ops/copy.js";
import type { Tensor } from "../tensor/tensor.js";
import { AttentionBlock } from "./attention.js";
import { anything, isBoolean, isCount, isNumber, either, listOf, nullOr, oneOf, type ConfigSchema } from "./config.js";
import { TimestepEmbedding } from "./embeddings.js";
import { Conv2d, GroupNorm } from "./layers.js";
import { PretrainedModel } from "./pretrained.js";
import type { DownBlock2D, MidBlock2D, UpBlock2D } from "./unet_2d_blocks.js";
import { runUNet, sinusoids, timestepsFor, unetBlocks } from "./unet_2d_trunk.js";

const schema: ConfigSchema = {
  name: "UNet2DModel",
  defaults: {
    sample_size: null,
    in_channels: 3,
    out_channels: 3,
    center_input_sample: false,
    time_embedding_type: "positional",
    time_embedding_dim: null,
    freq_shift: 0,
    flip_sin_to_cos: true,
    down_block_types: ["DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"],
    mid_block_type: "UNetMidBlock2D",
    up_block_types: ["AttnUpBlock2D", "AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"],
    block_out_channels: [224, 448, 672, 896],
    layers_per_block: 2,
    mid_block_scale_factor: 1,
    downsample_padding: 1,
    downsample_type: "conv",
    upsample_type: "conv",
    dropout: 0,
    act_fn: "silu",
    attention_head_dim: 8,
    norm_num_groups: 32,
    attn_norm_num_groups: null,
    norm_eps: 1e-5,
    resnet_time_scale_shift: "default",
    add_attention: true,
    class_embed_type: null,
    num_class_embeds: null,
    num_train_timesteps: null,
  },
  rules: {
    sample_size: nullOr(either(isCount, listOf(isCount))),
    in_channels: isCount,
    out_channels: isCount,
    freq_shift: isNumber,
    flip_sin_to_cos: isBoolean,
    down_block_types: listOf(oneOf("DownBlock2D", "AttnDownBlock2D")),
    up_block_types: listOf(oneOf("UpBlock2D", "AttnUpBlock2D")),
    block_out_channels: listOf(isCount),
    layers_per_block: isCount,
    mid_block_scale_factor: oneOf(1),
    downsample_padding: oneOf(0, 1),
    dropout: anything, // has no effect when drawing
    attention_head_dim: nullOr(isCount),
    norm_num_groups: isCount,
    norm_eps: isNumber,
    add_attention: isBoolean,
    num_train_timesteps: anything, // read only with time_embedding_type "learned"
  },
};

interface UNetConfig {
  sample_size: number | number[] | null;
  in_channels: number;
  out_channels: number;
  freq_shift: number;
  flip_sin_to_cos: boolean;
  down_block_types: string[];
  up_block_types: string[];
  block_out_channels: number[];
  layers_per_block: number;
  downsample_padding: 0 | 1;
  /** Channels per attention head; null for one head. Absent is 8, diffusers' default. */
  attention_head_dim: number | null;
  norm_num_groups: number;
  norm_eps: number;
  add_attention: boolean;
}

export class UNet2DModel extends PretrainedModel<UNetConfig> {
  static readonly className = "UNet2DModel";
  readonly conv_in: Conv2d;
  readonly time_embedding: TimestepEmbedding;
  readonly down_blocks: readonly DownBlock2D[];
  readonly mid_block: MidBlock2D;
  readonly up_blocks: readonly UpBlock2D[];
  readonly conv_norm_out: GroupNorm;
  readonly conv_out: Conv2d;

  constructor(given: Readonly<Record<string, unknown>> = {}) {
    super(schema, given);
    const { config } = this;
    const { block_out_channels: widths, norm_num_groups: groups, norm_eps: eps } = config;
    for (const key of ["down_block_types", "up_block_types"] as const)
      if (config[key].length !== widths.length)
        throw new TypeError(
          `UNet2DModel: config ${key} needs ${widths.length} entries, one per block_out_channels, got ${config[key].length}`,
        );
    const last = widths.length - 1;
    const tembChannels = 4 * widths[0];
    const attention = (level: number) => (): AttentionBlock =>
      new AttentionBlock(widths[level], { groups, eps, headDim: config.attention_head_dim ?? widths[level] });

    this.conv_in = new Conv2d(config.in_channels, widths[0]);
    this.time_embedding = new TimestepEmbedding(widths[0], tembChannels, null);
    const blocks = unetBlocks({
      ...{ widths, tembChannels, groups, eps },
      ...{ layers: config.layers_per_block, downsamplePadding: config.downsample_padding },
      attention: {
        down: config.down_block_types.map((type, i) => (type === "AttnDownBlock2D" ? attention(i) : null)),
        mid: config.add_attention ? attention(last) : null,
        up: config.up_block_types.map((type, i) => (type === "AttnUpBlock2D" ? attention(last - i) : null)),
      },
    });
    this.down_blocks = blocks.down_blocks;
    this.mid_block = blocks.mid_block;
    this.up_blocks = blocks.up_blocks;
    this.conv_norm_out = new GroupNorm(groups, widths[0], eps);
    this.conv_out = new Conv2d(widths[0], config.out_channels);
  }

  /**
   * Predicts the noise (or v, or the sample: the scheduler's prediction_type says which).
   * @param sample [batch, in_channels, height, width]; height and width are multiples of 2 ** (levels - 1)
   * @param timestep one for the batch, or one per image
   * @returns sample [batch, out_channels, height, width] in the dtype of `sample`
   * @throws RangeError for other shapes
   */
  forward(sample: Tensor, timestep: number | readonly number[]): { sample: Tensor } {
    const { config, dtype } = this;
    const [batch, channels, height, width] = sample.shape;
    if (sample.shape.length !== 4 || channels !== config.in_channels)
      throw new RangeError(
        `UNet2DModel: sample must be [batch, ${config.in_channels}, height, width], got [${sample.shape.join(", ")}]`,
      );
    const multiple = 2 ** (config.block_out_channels.length - 1);
    if (height % multiple !== 0 || width % multiple !== 0)
      throw new RangeError(
        `UNet2DModel: height and width of sample must be multiples of ${multiple}, got ${height} and ${width}`,
      );
    const timesteps = timestepsFor("UNet2DModel", timestep, batch);
    return sample.device.scope(() => {
      const as = (x: Tensor): Tensor => (x.dtype === dtype ? x : cast(x, dtype));
      const temb = this.time_embedding.forward(sinusoids(sample, dtype, timesteps, config));
      const y = toNCHW(runUNet(this, as(toNHWC(sample)), { temb }));
      return { sample: y.dtype === sample.dtype ? y : cast(y, sample.dtype) };
    });
  }
}
