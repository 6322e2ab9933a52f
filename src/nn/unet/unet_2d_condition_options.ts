/** UNet2DConditionModel's config as the trunk takes it: diffusers/models/unets/unet_2d_condition.py, __init__. */
import { shown } from "../../arguments/shown.js";
import { activationOf } from "../activations.js";
import { perLevel } from "../config.js";
import { GaussianFourierProjection, Timesteps, type TimeProjection } from "./time_proj.js";
import type { UNet2DConditionConfig } from "./unet_2d_condition_config.js";
import type { LevelKind, UNetOptions } from "./unet_2d_trunk.js";

const MODEL = "UNet2DConditionModel";

/** Width of the time embedding. */
export const timeWidth = (config: UNet2DConditionConfig): number =>
  config.time_embedding_dim ?? config.block_out_channels[0] * (config.time_embedding_type === "fourier" ? 2 : 4);

export const frequenciesOf = (config: UNet2DConditionConfig): { flipSinToCos: boolean; freqShift: number } => ({
  flipSinToCos: config.flip_sin_to_cos,
  freqShift: config.freq_shift,
});

/** The width that prompts must have at the blocks: one prompt goes to all of them. */
export function promptWidth({ cross_attention_dim: width }: UNet2DConditionConfig): number {
  const widths = new Set([width].flat());
  if (widths.size === 1) return [...widths][0];
  throw new TypeError(
    `${MODEL}: config cross_attention_dim = ${shown(width)} is not supported: one prompt has one width`,
  );
}

/** The width of the prompts that the model is given: it may project them first. */
export const contextWidth = (config: UNet2DConditionConfig): number => config.encoder_hid_dim ?? promptWidth(config);

export function conditionOptions(config: UNet2DConditionConfig): UNetOptions {
  const widths = config.block_out_channels;
  const levels = widths.length;
  const each = <T>(key: string, value: T | readonly T[]): readonly T[] => perLevel(MODEL, key, value, levels);
  const headDims = each("attention_head_dim", config.attention_head_dim);
  const layers = each("layers_per_block", config.layers_per_block);
  const contextWidths = each("cross_attention_dim", config.cross_attention_dim);
  const onlyCross = each("only_cross_attention", config.only_cross_attention);
  const { downDepths, upDepths } = transformerDepths(config);
  const width = timeWidth(config);
  const activation = activationOf(config.act_fn);
  const cross = (level: number): { heads: number; contextWidth: number } & typeof crossShape => ({
    ...crossShape,
    heads: headDims[level],
    contextWidth: contextWidths[level],
  });
  const crossShape = { linearProjection: config.use_linear_projection, contextNorm: config.cross_attention_norm };
  const level = (
    i: number,
    count: number,
    depths: number | readonly number[],
  ): Omit<LevelKind, "type" | "headDim"> => ({
    layers: count,
    cross: { ...cross(i), depths: eachLayer(depths, count), onlyCross: onlyCross[i] },
  });
  const last = levels - 1;
  return {
    model: MODEL,
    inChannels: config.in_channels,
    outChannels: config.out_channels,
    widths,
    kernels: { in: config.conv_in_kernel, out: config.conv_out_kernel },
    resnet: {
      tembChannels: config.class_embeddings_concat ? 2 * width : width,
      groups: config.norm_num_groups,
      eps: config.norm_eps,
      activation,
      scaleShift: config.resnet_time_scale_shift === "scale_shift",
    },
    resnetBlocks: { skipTimeAct: Boolean(config.resnet_skip_time_act), outputScale: config.resnet_out_scale_factor },
    downsamplePadding: config.downsample_padding,
    downsampleType: "conv",
    upsampleType: "conv",
    time: {
      projection: timeProjection(config, width),
      width,
      activation,
      postActivation: config.timestep_post_act === null ? "none" : activationOf(config.timestep_post_act),
      condProjDim: config.time_cond_proj_dim,
    },
    classes: {
      type: config.class_embed_type,
      count: config.num_class_embeds,
      activation,
      inputWidth: config.projection_class_embeddings_input_dim,
    },
    down: config.down_block_types.map((type, i) => ({
      ...level(i, layers[i], downDepths[i]),
      type,
      headDim: headDims[i],
    })),
    mid: {
      type: config.mid_block_type,
      outputScale: config.mid_block_scale_factor,
      headDim: headDims[last],
      cross: {
        ...cross(last),
        depth: eachLayer(downDepths[last], 1)[0],
        onlyCross: config.mid_block_only_cross_attention ?? config.only_cross_attention === true,
      },
    },
    up: config.up_block_types.map((type, i) => ({
      ...level(last - i, layers[last - i] + 1, upDepths[i]),
      // Not reversed in diffusers, unlike everything else.
      type,
      headDim: headDims[i],
    })),
    out: { groups: config.norm_num_groups, activation },
  };
}

type Depths = readonly (number | readonly number[])[];

function transformerDepths(config: UNet2DConditionConfig): { downDepths: Depths; upDepths: Depths } {
  const { transformer_layers_per_block: given, reverse_transformer_layers_per_block: reversed } = config;
  const levels = config.block_out_channels.length;
  const downDepths = perLevel<number | readonly number[]>(MODEL, "transformer_layers_per_block", given, levels);
  if (reversed)
    return {
      downDepths,
      upDepths: perLevel<number | readonly number[]>(MODEL, "reverse_transformer_layers_per_block", reversed, levels),
    };
  if (downDepths.some(Array.isArray))
    throw new TypeError(
      `${MODEL}: config transformer_layers_per_block = ${shown(given)} needs reverse_transformer_layers_per_block`,
    );
  return { downDepths, upDepths: [...downDepths].reverse() };
}

function eachLayer(depths: number | readonly number[], layers: number): readonly number[] {
  if (typeof depths === "number") return new Array<number>(layers).fill(depths);
  if (depths.length >= layers) return depths;
  throw new TypeError(
    `${MODEL}: config transformer_layers_per_block (or its reverse) has ${depths.length} numbers for ${layers} layers`,
  );
}

function timeProjection(config: UNet2DConditionConfig, width: number): TimeProjection {
  if (config.time_embedding_type === "positional")
    return new Timesteps(config.block_out_channels[0], frequenciesOf(config));
  if (width % 2 !== 0) throw new TypeError(`${MODEL}: config time_embedding_dim = ${width} must be even`);
  return new GaussianFourierProjection(width / 2, { log: false, flipSinToCos: config.flip_sin_to_cos });
}
