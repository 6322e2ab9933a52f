/** The config of ControlNetModel, diffusers/models/controlnets/controlnet.py. */
import { either, isBoolean, isCount, isNumber, listOf, nullOr, oneOf, type ConfigSchema } from "../config.js";

export const controlNetSchema: ConfigSchema = {
  name: "ControlNetModel",
  defaults: {
    in_channels: 4,
    conditioning_channels: 3,
    flip_sin_to_cos: true,
    freq_shift: 0,
    down_block_types: ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
    mid_block_type: "UNetMidBlock2DCrossAttn",
    only_cross_attention: false,
    block_out_channels: [320, 640, 1280, 1280],
    layers_per_block: 2,
    downsample_padding: 1,
    mid_block_scale_factor: 1,
    act_fn: "silu",
    norm_num_groups: 32,
    norm_eps: 1e-5,
    cross_attention_dim: 1280,
    transformer_layers_per_block: 1,
    encoder_hid_dim: null,
    encoder_hid_dim_type: null,
    attention_head_dim: 8,
    num_attention_heads: null,
    use_linear_projection: false,
    class_embed_type: null,
    addition_embed_type: null,
    addition_time_embed_dim: null,
    num_class_embeds: null,
    upcast_attention: false,
    resnet_time_scale_shift: "default",
    projection_class_embeddings_input_dim: null,
    controlnet_conditioning_channel_order: "rgb",
    conditioning_embedding_out_channels: [16, 32, 96, 256],
    global_pool_conditions: false,
    addition_embed_type_num_heads: 64,
  },
  rules: {
    in_channels: isCount,
    conditioning_channels: isCount,
    flip_sin_to_cos: isBoolean,
    freq_shift: isNumber,
    down_block_types: listOf(oneOf("CrossAttnDownBlock2D", "DownBlock2D")),
    block_out_channels: listOf(isCount),
    layers_per_block: isCount,
    downsample_padding: oneOf(0, 1),
    norm_num_groups: isCount,
    norm_eps: isNumber,
    cross_attention_dim: isCount,
    transformer_layers_per_block: either(isCount, listOf(isCount)),
    attention_head_dim: either(isCount, listOf(isCount)),
    num_attention_heads: nullOr(either(isCount, listOf(isCount))),
    use_linear_projection: isBoolean,
    act_fn: oneOf("silu", "swish"),
    upcast_attention: isBoolean, // attention is in float32 here always
    controlnet_conditioning_channel_order: oneOf("rgb", "bgr"),
    conditioning_embedding_out_channels: listOf(isCount),
    global_pool_conditions: isBoolean,
    class_embed_type: oneOf(null, "timestep", "identity", "projection"),
    num_class_embeds: nullOr(isCount),
    addition_embed_type: oneOf(null, "text", "text_time"),
    addition_embed_type_num_heads: isCount,
    addition_time_embed_dim: nullOr(isCount),
    projection_class_embeddings_input_dim: nullOr(isCount),
  },
};

/** The keys that are read. */
export interface ControlNetConfig {
  in_channels: number;
  conditioning_channels: number;
  flip_sin_to_cos: boolean;
  freq_shift: number;
  down_block_types: string[];
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
  class_embed_type: string | null;
  num_class_embeds: number | null;
  addition_embed_type: string | null;
  addition_embed_type_num_heads: number;
  addition_time_embed_dim: number | null;
  projection_class_embeddings_input_dim: number | null;
  controlnet_conditioning_channel_order: "rgb" | "bgr";
  conditioning_embedding_out_channels: number[];
  global_pool_conditions: boolean;
}
