/** The config of ControlNetUnionModel, diffusers/models/controlnets/controlnet_union.py. */
import { isCount, oneOf, type ConfigSchema } from "../config.js";
import { controlNetSchema, type ControlNetConfig } from "./controlnet_config.js";

const { mid_block_type: _, ...shared } = controlNetSchema.defaults;

export const controlNetUnionSchema: ConfigSchema = {
  name: "ControlNetUnionModel",
  olderNames: ["ControlNetModel", "ControlNetModel_Union"],
  defaults: {
    ...shared,
    conditioning_embedding_out_channels: [48, 96, 192, 384],
    num_control_type: 6,
    num_trans_channel: 320,
    num_trans_head: 8,
    num_trans_layer: 1,
    num_proj_channel: 320,
  },
  rules: {
    ...controlNetSchema.rules,
    controlnet_conditioning_channel_order: oneOf("rgb"),
    addition_time_embed_dim: isCount,
    num_control_type: isCount,
    num_trans_channel: isCount,
    num_trans_head: isCount,
    num_trans_layer: isCount,
    num_proj_channel: isCount,
  },
};

/** The keys that are read. */
export interface ControlNetUnionConfig extends ControlNetConfig {
  /** Numbers for each kind of picture; other models use it for sizes alone. */
  addition_time_embed_dim: number;
  num_control_type: number;
  num_trans_channel: number;
  num_trans_head: number;
  num_trans_layer: number;
  num_proj_channel: number;
}
