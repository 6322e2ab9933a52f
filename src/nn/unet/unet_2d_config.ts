/** The config of UNet2DModel and what the trunk takes of it: diffusers/models/unets/unet_2d.py, __init__. */
import { shown } from "../../arguments/shown.js";
import { activationOf, isActivation } from "../activations.js";
import { anything, isBoolean, isCount, isNumber, either, listOf, nullOr, oneOf, type ConfigSchema } from "../config.js";
import { IMAGE_CHANNELS } from "./skip_blocks.js";
import { GaussianFourierProjection, LearnedTimesteps, Timesteps, type TimeProjection } from "./time_proj.js";
import type { LevelKind, UNetOptions } from "./unet_2d_trunk.js";
import { isBlockType } from "./unet_block_types.js";

const MODEL = "UNet2DModel";

export const unet2DSchema: ConfigSchema = {
  name: MODEL,
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
    center_input_sample: isBoolean,
    time_embedding_type: oneOf("positional", "fourier", "learned"),
    time_embedding_dim: nullOr(isCount),
    freq_shift: isNumber,
    flip_sin_to_cos: isBoolean,
    down_block_types: listOf(
      isBlockType(
        ...["DownBlock2D", "AttnDownBlock2D", "ResnetDownsampleBlock2D"],
        ...["SkipDownBlock2D", "AttnSkipDownBlock2D"],
      ),
    ),
    mid_block_type: oneOf(null, "UNetMidBlock2D"),
    up_block_types: listOf(
      isBlockType(
        ...["UpBlock2D", "AttnUpBlock2D", "ResnetUpsampleBlock2D"],
        ...["SkipUpBlock2D", "AttnSkipUpBlock2D"],
      ),
    ),
    block_out_channels: listOf(isCount),
    layers_per_block: isCount,
    mid_block_scale_factor: isNumber,
    downsample_padding: oneOf(0, 1),
    downsample_type: oneOf("conv", "resnet"),
    upsample_type: oneOf("conv", "resnet"),
    dropout: anything, // has no effect when drawing
    act_fn: isActivation,
    attention_head_dim: nullOr(isCount),
    norm_num_groups: nullOr(isCount),
    attn_norm_num_groups: nullOr(isCount),
    norm_eps: isNumber,
    resnet_time_scale_shift: oneOf("default", "scale_shift"),
    add_attention: isBoolean,
    class_embed_type: oneOf(null, "timestep", "identity"),
    num_class_embeds: nullOr(isCount),
    num_train_timesteps: nullOr(isCount),
  },
};

/** Keys of a UNet2DModel's config.json, with diffusers' meaning; `UNet2DModel.defaults` has their defaults. */
export interface UNet2DConfig {
  sample_size: number | number[] | null;
  in_channels: number;
  out_channels: number;
  center_input_sample: boolean;
  time_embedding_type: "positional" | "fourier" | "learned";
  time_embedding_dim: number | null;
  freq_shift: number;
  flip_sin_to_cos: boolean;
  down_block_types: string[];
  mid_block_type: string | null;
  up_block_types: string[];
  block_out_channels: number[];
  layers_per_block: number;
  mid_block_scale_factor: number;
  downsample_padding: 0 | 1;
  /** How AttnDownBlock2D halves; other blocks have their own way. */
  downsample_type: "conv" | "resnet";
  upsample_type: "conv" | "resnet";
  act_fn: string;
  /** Channels per attention head; null for one head. Absent is 8, diffusers' default. */
  attention_head_dim: number | null;
  /** null: a quarter of the channels, at most 32. */
  norm_num_groups: number | null;
  /** Of the attention in the middle; null: as all others, or no norm with resnet_time_scale_shift "scale_shift". */
  attn_norm_num_groups: number | null;
  norm_eps: number;
  resnet_time_scale_shift: "default" | "scale_shift";
  add_attention: boolean;
  class_embed_type: string | null;
  num_class_embeds: number | null;
  num_train_timesteps: number | null;
}

export function unet2DOptions(config: UNet2DConfig): UNetOptions {
  const { block_out_channels: widths, norm_num_groups: groups, norm_eps: eps } = config;
  for (const key of ["down_block_types", "up_block_types"] as const)
    if (config[key].some((type) => type.includes("Skip")) && config.in_channels !== IMAGE_CHANNELS)
      throw new TypeError(
        `${MODEL}: config in_channels = ${config.in_channels} is not supported with ${key} = ${shown(config[key])}, whose blocks take ${IMAGE_CHANNELS}`,
      );
  const last = widths.length - 1;
  const width = config.time_embedding_dim ?? 4 * widths[0];
  const headDim = (level: number): number => config.attention_head_dim ?? widths[level];
  const kind = (type: string, level: number, layers: number): LevelKind => ({ type, layers, headDim: headDim(level) });
  const { layers_per_block: layers } = config;
  return {
    model: MODEL,
    inChannels: config.in_channels,
    outChannels: config.out_channels,
    widths,
    kernels: { in: 3, out: 3 },
    resnet: {
      tembChannels: width,
      groups,
      eps,
      activation: activationOf(config.act_fn),
      scaleShift: config.resnet_time_scale_shift === "scale_shift",
    },
    downsamplePadding: config.downsample_padding,
    downsampleType: config.downsample_type,
    upsampleType: config.upsample_type,
    // act_fn is that of the blocks: the embeddings and the last layers have SiLU always.
    time: {
      projection: timeProjection(config),
      width,
      condProjDim: null,
      activation: "silu",
      postActivation: "none",
    },
    classes: { type: config.class_embed_type, count: config.num_class_embeds, inputWidth: null, activation: "silu" },
    down: config.down_block_types.map((type, i) => kind(type, i, layers)),
    mid: {
      type: config.mid_block_type,
      outputScale: config.mid_block_scale_factor,
      headDim: headDim(last),
      attention: config.add_attention ? { groups: config.attn_norm_num_groups } : null,
    },
    up: config.up_block_types.map((type, i) => kind(type, last - i, layers + 1)),
    out: { groups: groups ?? Math.min(Math.floor(widths[0] / 4), 32), activation: "silu" },
  };
}

function timeProjection(config: UNet2DConfig): TimeProjection {
  const width = config.block_out_channels[0];
  const { flip_sin_to_cos: flipSinToCos, freq_shift: freqShift, num_train_timesteps: steps } = config;
  if (config.time_embedding_type === "positional") return new Timesteps(width, { flipSinToCos, freqShift });
  if (config.time_embedding_type === "fourier")
    return new GaussianFourierProjection(width, { log: true, flipSinToCos: false });
  if (steps === null) throw new TypeError(`${MODEL}: config time_embedding_type = "learned" needs num_train_timesteps`);
  return new LearnedTimesteps(steps, width);
}
