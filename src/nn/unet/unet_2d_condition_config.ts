/** The config of UNet2DConditionModel: diffusers' constructor arguments, their defaults, and the values that are computed. */
import { isActivation } from "../activations.js";
import { anything, isBoolean, isCount, isNumber, either, listOf, nullOr, oneOf, type ConfigSchema } from "../config.js";
import { isBlockType } from "./unet_block_types.js";

const counts = either(isCount, listOf(isCount));

export const unet2DConditionSchema: ConfigSchema = {
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
    sample_size: nullOr(counts),
    in_channels: isCount,
    out_channels: isCount,
    center_input_sample: isBoolean,
    flip_sin_to_cos: isBoolean,
    freq_shift: isNumber,
    down_block_types: listOf(
      isBlockType(
        ...["DownBlock2D", "ResnetDownsampleBlock2D", "AttnDownBlock2D"],
        ...["CrossAttnDownBlock2D", "SimpleCrossAttnDownBlock2D", "KDownBlock2D", "KCrossAttnDownBlock2D"],
      ),
    ),
    mid_block_type: oneOf(null, "UNetMidBlock2D", "UNetMidBlock2DCrossAttn", "UNetMidBlock2DSimpleCrossAttn"),
    up_block_types: listOf(
      isBlockType(
        ...["UpBlock2D", "ResnetUpsampleBlock2D", "AttnUpBlock2D"],
        ...["CrossAttnUpBlock2D", "SimpleCrossAttnUpBlock2D", "KUpBlock2D", "KCrossAttnUpBlock2D"],
      ),
    ),
    only_cross_attention: either(isBoolean, listOf(isBoolean)),
    block_out_channels: listOf(isCount),
    layers_per_block: counts,
    downsample_padding: oneOf(0, 1),
    mid_block_scale_factor: isNumber,
    dropout: anything, // has no effect when drawing
    act_fn: isActivation,
    norm_num_groups: nullOr(isCount),
    norm_eps: isNumber,
    cross_attention_dim: counts,
    transformer_layers_per_block: either(isCount, listOf(counts)),
    reverse_transformer_layers_per_block: nullOr(listOf(counts)),
    encoder_hid_dim: nullOr(isCount),
    encoder_hid_dim_type: oneOf(null, "text_proj"),
    attention_head_dim: counts,
    use_linear_projection: isBoolean,
    class_embed_type: oneOf(null, "timestep", "identity", "projection", "simple_projection"),
    addition_embed_type: oneOf(null, "text", "text_time"),
    addition_time_embed_dim: nullOr(isCount),
    num_class_embeds: nullOr(isCount),
    upcast_attention: nullOr(isBoolean), // attention is in float32 here always
    resnet_time_scale_shift: oneOf("default", "scale_shift"),
    resnet_skip_time_act: isBoolean,
    resnet_out_scale_factor: isNumber,
    time_embedding_type: oneOf("positional", "fourier"),
    time_embedding_dim: nullOr(isCount),
    time_embedding_act_fn: nullOr(isActivation),
    timestep_post_act: nullOr(isActivation),
    time_cond_proj_dim: nullOr(isCount),
    conv_in_kernel: isCount,
    conv_out_kernel: isCount,
    projection_class_embeddings_input_dim: nullOr(isCount),
    class_embeddings_concat: isBoolean,
    mid_block_only_cross_attention: nullOr(isBoolean),
    cross_attention_norm: oneOf(null, "layer_norm", "group_norm"),
    addition_embed_type_num_heads: isCount,
  },
};

type PerLevel<T> = T | T[];

/** Keys of a UNet2DConditionModel's config.json, with diffusers' meaning; `UNet2DConditionModel.defaults` has their defaults. */
export interface UNet2DConditionConfig {
  sample_size: PerLevel<number> | null;
  in_channels: number;
  out_channels: number;
  center_input_sample: boolean;
  flip_sin_to_cos: boolean;
  freq_shift: number;
  down_block_types: string[];
  mid_block_type: string | null;
  up_block_types: string[];
  only_cross_attention: PerLevel<boolean>;
  block_out_channels: number[];
  layers_per_block: PerLevel<number>;
  downsample_padding: 0 | 1;
  mid_block_scale_factor: number;
  act_fn: string;
  /** null: no norm at the end; only blocks of the K kind have norms then. */
  norm_num_groups: number | null;
  norm_eps: number;
  cross_attention_dim: PerLevel<number>;
  /** Of each level, or of each layer of each level. */
  transformer_layers_per_block: number | PerLevel<number>[];
  /** The same for up_blocks, in their order. */
  reverse_transformer_layers_per_block: PerLevel<number>[] | null;
  encoder_hid_dim: number | null;
  encoder_hid_dim_type: "text_proj" | null;
  /** The number of heads (sic) of transformers; channels per head in blocks of the other kinds. */
  attention_head_dim: PerLevel<number>;
  use_linear_projection: boolean;
  class_embed_type: string | null;
  addition_embed_type: string | null;
  addition_time_embed_dim: number | null;
  num_class_embeds: number | null;
  resnet_time_scale_shift: "default" | "scale_shift";
  resnet_skip_time_act: boolean;
  resnet_out_scale_factor: number;
  time_embedding_type: "positional" | "fourier";
  time_embedding_dim: number | null;
  time_embedding_act_fn: string | null;
  timestep_post_act: string | null;
  time_cond_proj_dim: number | null;
  conv_in_kernel: number;
  conv_out_kernel: number;
  projection_class_embeddings_input_dim: number | null;
  class_embeddings_concat: boolean;
  mid_block_only_cross_attention: boolean | null;
  cross_attention_norm: "layer_norm" | "group_norm" | null;
  addition_embed_type_num_heads: number;
}
