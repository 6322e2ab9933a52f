/** What both UNets have in common: the blocks of every level, and the way down, through the middle and up again. */
import { Tensor } from "../tensor/tensor.js";
import { timestepEmbedding, type TimestepEmbedding } from "./embeddings.js";
import type { Conv2d, GroupNorm } from "./layers.js";
import {
  DownBlock2D,
  MidBlock2D,
  UpBlock2D,
  type Conditioning,
  type SpatialAttention,
  type UNetShape,
} from "./unet_2d_blocks.js";

type AttentionMaker = (() => SpatialAttention) | null;

export interface UNetOptions extends UNetShape {
  /** Channels of each level, from the finest. */
  widths: readonly number[];
  /** ResNet blocks per level on the way down; there is one more on the way up. */
  layers: number;
  downsamplePadding: 0 | 1;
  /** What makes the attention of each block, in the order of the blocks; null for those without. */
  attention: { down: readonly AttentionMaker[]; mid: AttentionMaker; up: readonly AttentionMaker[] };
}

export interface UNetBlocks {
  readonly down_blocks: readonly DownBlock2D[];
  readonly mid_block: MidBlock2D;
  readonly up_blocks: readonly UpBlock2D[];
}

/** The blocks in the order of diffusers: up_blocks begin with the coarsest level. */
export function unetBlocks({ widths, layers, downsamplePadding, attention, ...shape }: UNetOptions): UNetBlocks {
  const last = widths.length - 1;
  return {
    down_blocks: widths.map(
      (width, level) =>
        new DownBlock2D({
          ...shape,
          layers,
          inChannels: widths[Math.max(0, level - 1)],
          outChannels: width,
          attention: attention.down[level],
          downsample: level < last,
          downsamplePadding,
        }),
    ),
    mid_block: new MidBlock2D({
      ...shape,
      inChannels: widths[last],
      outChannels: widths[last],
      attention: attention.mid,
    }),
    up_blocks: widths.map((_, i) => {
      const level = last - i;
      return new UpBlock2D({
        ...shape,
        layers: layers + 1,
        inChannels: widths[Math.min(last, level + 1)],
        outChannels: widths[level],
        skipChannels: widths[Math.max(0, level - 1)],
        attention: attention.up[i],
        upsample: i < last,
      });
    }),
  };
}

interface UNet extends UNetBlocks {
  readonly conv_in: Conv2d;
  readonly time_embedding: TimestepEmbedding;
  readonly conv_norm_out: GroupNorm;
  readonly conv_out: Conv2d;
}

/** @param x [batch, height, width, in_channels]; the caller's scope frees what is made on the way */
export function runUNet(unet: UNet, x: Tensor, conditioning: Conditioning): Tensor {
  const [, height, width] = x.shape;
  // 1. down, keeping every result as a skip connection
  let h = unet.conv_in.forward(x);
  const skips = [h];
  for (const block of unet.down_blocks) {
    skips.push(...block.forward(h, conditioning));
    h = skips[skips.length - 1];
  }
  // 2. mid
  h = unet.mid_block.forward(h, conditioning);
  // 3. up; where a size was rounded up on the way down, the way up must return to it
  const zoom = 2 ** (unet.up_blocks.length - 1);
  const odd = height % zoom !== 0 || width % zoom !== 0;
  for (const block of unet.up_blocks) {
    const next = skips[skips.length - 1 - block.resnets.length];
    const size = odd && next ? ([next.shape[1], next.shape[2]] as const) : undefined;
    const result = block.forward(h, skips, conditioning, size);
    h.dispose();
    h = result;
  }
  // 4. out
  return unet.conv_out.forward(unet.conv_norm_out.forward(h, { silu: true }));
}

/** One timestep per image. @throws RangeError if there are several, and not as many as images */
export function timestepsFor(model: string, timestep: number | readonly number[], batch: number): readonly number[] {
  const timesteps = typeof timestep === "number" ? new Array<number>(batch).fill(timestep) : timestep;
  if (timesteps.length === batch) return timesteps;
  throw new RangeError(`${model}: takes one timestep or one per image (${batch}), got ${timesteps.length}`);
}

/** The keys of both models' configs that say what the sinusoid of a timestep is. */
export interface SinusoidConfig {
  block_out_channels: readonly number[];
  flip_sin_to_cos: boolean;
  freq_shift: number;
}

/** The sinusoids of timesteps, [timesteps.length, block_out_channels[0]], beside `sample` and in the model's dtype. */
export function sinusoids(
  { device }: Tensor,
  dtype: Tensor["dtype"],
  timesteps: readonly number[],
  config: SinusoidConfig,
): Tensor {
  const dim = config.block_out_channels[0];
  const { flip_sin_to_cos: flipSinToCos, freq_shift: freqShift } = config;
  const values = timestepEmbedding(timesteps, dim, { flipSinToCos, freqShift });
  return Tensor.from(values, [timesteps.length, dim], { dtype, device });
}
