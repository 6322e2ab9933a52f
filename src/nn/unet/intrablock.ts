/**
 * Where a UNet takes the features of a T2I-Adapter: `down_intrablock_additional_residuals` of diffusers'
 * models/unets/unet_2d_condition.py, one for each block of the way down, and one for the middle.
 */
import type { UNetOptions } from "./unet_2d_trunk.js";

export interface FeaturePlace {
  /** What a feature must be there, without the batch. */
  shape: readonly [height: number, width: number, channels: number];
  /** Whether it is added to what the last layer gives, before that is halved; otherwise to what the block gives. */
  inside: boolean;
}

/** @returns null where a block takes none, in diffusers neither */
export function placesOf(
  options: UNetOptions,
  sides: readonly [height: number, width: number],
): (FeaturePlace | null)[] {
  const { down, mid, widths } = options;
  let [height, width] = sides;
  const places = down.map(({ type: given }, i): FeaturePlace | null => {
    const type = given.replace(/^UNetRes/, "");
    const before = [height, width] as const;
    if (i < down.length - 1) [height, width] = before.map((side) => halved(type, side, options)) as [number, number];
    if (/^(SimpleCrossAttn|KCrossAttn)/.test(type)) return null;
    const inside = type.startsWith("CrossAttn");
    return { shape: [...(inside ? before : ([height, width] as const)), widths[i]], inside };
  });
  if (mid.type !== null) places.push({ shape: [height, width, widths[widths.length - 1]], inside: false });
  return places;
}

/** A side behind a block that makes it smaller: by a convolution that sees a pixel beyond the edge, or by means of what is whole. */
const halved = (type: string, side: number, { downsamplePadding }: UNetOptions): number =>
  /^(CrossAttn|Attn)?DownBlock2D$/.test(type) && downsamplePadding === 1 ? Math.ceil(side / 2) : Math.floor(side / 2);

/** Features whose shapes are [height, width, channels]. @returns what is wrong with them, for messages; null if nothing is */
export function misfit(
  features: readonly (readonly number[])[],
  places: readonly (FeaturePlace | null)[],
  hasMiddle: boolean,
): string | null {
  // Those of Stable Diffusion XL's adapters have one for the middle, which some smaller UNets lack.
  const most = places.length + (hasMiddle ? 0 : 1);
  if (features.length > most) return `the UNet takes ${most} at most, got ${features.length}`;
  for (const [i, feature] of features.slice(0, places.length).entries()) {
    const place = places[i];
    if (!place) return `the UNet's block ${i} takes none`;
    if (feature.join() !== place.shape.join()) {
      const [[height, width, channels], [h, w, c]] = [place.shape, feature];
      return `number ${i} must have ${channels} channels of ${height} x ${width}, got ${c} of ${h} x ${w}`;
    }
  }
  return null;
}
