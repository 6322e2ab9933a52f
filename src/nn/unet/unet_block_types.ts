/** Which modules a config's block types stand for: get_down_block, get_mid_block, get_up_block of diffusers. */
import { AttentionBlock, Transformer2DModel } from "../attention.js";
import { oneOf, type Rule } from "../config.js";
import { averagePool, doubleNearest, type Resample } from "../resample.js";
import { Downsample2D, ResnetBlock2D, Upsample2D } from "../resnet.js";
import { AddedKVAttention } from "./added_kv_attention.js";
import { KDownBlock2D, KUpBlock2D, type KBlockOptions } from "./k_blocks.js";
import { SkipDownBlock2D, SkipUpBlock2D } from "./skip_blocks.js";
import {
  DownBlock2D,
  MidBlock2D,
  UpBlock2D,
  type DownBlock,
  type ResnetShape,
  type SpatialAttention,
  type UpBlock,
} from "./unet_2d_blocks.js";

/** Attention to a prompt: of the cross-attention blocks. */
export interface CrossAttentionOptions {
  /** Number of heads, of transformers. */
  heads: number;
  contextWidth: number;
  linearProjection: boolean;
  /** cross_attention_norm, of SimpleCrossAttn blocks. */
  contextNorm: "layer_norm" | "group_norm" | null;
}

/** What all blocks of one UNet have in common. */
export interface UNetShape {
  /** For the errors. */
  model: string;
  resnet: Omit<ResnetShape, "groups"> & { groups: number | null };
  /** resnet_skip_time_act and resnet_out_scale_factor: of blocks that resample by ResNet blocks. */
  resnetBlocks?: { skipTimeAct: boolean; outputScale: number };
  downsamplePadding: number;
  /** How Attn blocks resample. */
  downsampleType: "conv" | "resnet";
  upsampleType: "conv" | "resnet";
}

export interface LevelOptions {
  type: string;
  layers: number;
  inChannels: number;
  outChannels: number;
  /** Whether the block halves or doubles the size. */
  resize: boolean;
  /** Channels per head, of attention among pixels. */
  headDim: number;
  cross?: CrossAttentionOptions & {
    /** Transformer blocks of each layer. */
    depths: readonly number[];
    onlyCross: boolean;
  };
}

/** A config's block type. Old configs name the same blocks UNetResDownBlock2D and so on. */
export const isBlockType = (...names: string[]): Rule => oneOf(...names, ...names.map((name) => `UNetRes${name}`));

const plain = (type: string): string => type.replace(/^UNetRes/, "");

type AttentionMaker = ((layer: number) => SpatialAttention) | null;

function groupsOf({ model, resnet }: UNetShape, type: string): number {
  if (resnet.groups !== null) return resnet.groups;
  throw new TypeError(`${model}: config norm_num_groups = null is not supported with blocks of type ${type}`);
}

/** The options of a level's ResNet blocks, and the attention after them. */
function layersOf(shape: UNetShape, level: LevelOptions): { resnet: ResnetShape; attention: AttentionMaker } {
  const { outChannels: channels, headDim, cross } = level;
  const type = plain(level.type);
  const groups = groupsOf(shape, type);
  const resnet = { ...shape.resnet, groups };
  if (/^(Down|Up)Block2D$/.test(type)) return { resnet, attention: null };
  if (/^Attn(Down|Up)Block2D$/.test(type))
    return { resnet, attention: () => new AttentionBlock(channels, { groups, eps: resnet.eps, headDim }) };
  if (/^Resnet(Downsample|Upsample)Block2D$/.test(type))
    return { resnet: { ...resnet, ...shape.resnetBlocks }, attention: null };
  if (cross && /^CrossAttn(Down|Up)Block2D$/.test(type))
    return {
      resnet,
      attention: (layer) => new Transformer2DModel({ ...cross, channels, groups, depth: cross.depths[layer] }),
    };
  if (cross && /^SimpleCrossAttn(Down|Up)Block2D$/.test(type))
    return {
      resnet: { ...resnet, ...shape.resnetBlocks },
      attention: () => new AddedKVAttention(channels, { ...cross, groups, headDim }),
    };
  throw new TypeError(`${shape.model}: block type ${level.type} is not supported`);
}

/** The options of the blocks of k_blocks.ts. */
function kOptions({ resnet }: UNetShape, type: string, level: LevelOptions): KBlockOptions {
  const { eps, activation = "silu", tembChannels } = resnet;
  const attention = type.startsWith("KCrossAttn") && level.cross ? { ...level.cross, headDim: level.headDim } : null;
  return { ...level, eps, activation, tembChannels: tembChannels ?? 0, attention };
}

/** Blocks that are named after it, and Attn blocks where the config says so, resample by a ResNet block. */
const byResnet = (type: string, attnType: "conv" | "resnet"): boolean =>
  /^(Resnet|SimpleCrossAttn)/.test(type) || (attnType === "resnet" && type.startsWith("Attn"));

const resampling = (resnet: ResnetShape, channels: number, resample: Resample): ResnetBlock2D =>
  new ResnetBlock2D({ ...resnet, inChannels: channels, outChannels: channels, resample });

export function downBlock(shape: UNetShape, level: LevelOptions): DownBlock {
  const type = plain(level.type);
  const { outChannels: channels, headDim } = level;
  if (/^(Attn)?SkipDownBlock2D$/.test(type))
    return new SkipDownBlock2D({ ...level, resnet: shape.resnet, headDim: type.startsWith("Attn") ? headDim : null });
  if (/^K(CrossAttn)?DownBlock2D$/.test(type)) return new KDownBlock2D(kOptions(shape, type, level));
  const layers = layersOf(shape, level);
  const sampler = (): Downsample2D | ResnetBlock2D =>
    byResnet(type, shape.downsampleType)
      ? resampling(layers.resnet, channels, averagePool)
      : new Downsample2D(channels, shape.downsamplePadding);
  return new DownBlock2D({ ...level, ...layers, downsampler: level.resize ? sampler() : null });
}

/** @param level with skipChannels: of the skip connection of the last layer */
export function upBlock(shape: UNetShape, level: LevelOptions & { skipChannels: number }): UpBlock {
  const type = plain(level.type);
  const { outChannels: channels, headDim } = level;
  if (/^(Attn)?SkipUpBlock2D$/.test(type))
    return new SkipUpBlock2D({ ...level, resnet: shape.resnet, headDim: type.startsWith("Attn") ? headDim : null });
  if (/^K(CrossAttn)?UpBlock2D$/.test(type)) {
    const { skipChannels, layers } = level;
    // One layer less than other blocks of the way up have.
    return new KUpBlock2D({ ...kOptions(shape, type, level), skipChannels, layers: layers - 1 });
  }
  const layers = layersOf(shape, level);
  const sampler = (): Upsample2D | ResnetBlock2D =>
    byResnet(type, shape.upsampleType) ? resampling(layers.resnet, channels, doubleNearest) : new Upsample2D(channels);
  return new UpBlock2D({ ...level, ...layers, upsampler: level.resize ? sampler() : null });
}

export interface MidLevelOptions {
  type: string | null;
  channels: number;
  /** mid_block_scale_factor */
  outputScale: number;
  /** Channels per head, of attention among pixels. */
  headDim: number;
  /** UNet2DModel: attention among pixels in the middle, with so many groups. Absent: one ResNet block and nothing else. */
  attention?: { groups: number | null } | null;
  cross?: CrossAttentionOptions & { depth: number; onlyCross: boolean };
}

export function midBlock(shape: UNetShape, level: MidLevelOptions): MidBlock2D | null {
  const { type, channels, outputScale, headDim, cross } = level;
  if (type === null) return null;
  const groups = shape.resnet.groups ?? Math.min(Math.floor(channels / 4), 32);
  const resnet = { ...shape.resnet, groups, outputScale };
  if (cross && type === "UNetMidBlock2DCrossAttn") {
    const attention = (): Transformer2DModel =>
      new Transformer2DModel({ ...cross, channels, groups, onlyCross: false });
    return new MidBlock2D({ resnet, channels, layers: 1, attention });
  }
  if (cross && type === "UNetMidBlock2DSimpleCrossAttn") {
    const attention = (): AddedKVAttention => new AddedKVAttention(channels, { ...cross, groups, headDim });
    const skipTimeAct = shape.resnetBlocks?.skipTimeAct;
    return new MidBlock2D({ resnet: { ...resnet, skipTimeAct }, channels, layers: 1, attention });
  }
  if (type !== "UNetMidBlock2D") throw new TypeError(`${shape.model}: mid_block_type ${type} is not supported`);
  if (level.attention === undefined) return new MidBlock2D({ resnet, channels, layers: 0, attention: null });
  const attentionGroups = level.attention?.groups ?? (shape.resnet.scaleShift ? null : groups);
  const attention = (): AttentionBlock =>
    new AttentionBlock(channels, { groups: attentionGroups, eps: resnet.eps, headDim, outputScale });
  return new MidBlock2D({ resnet, channels, layers: 1, attention: level.attention && attention });
}
