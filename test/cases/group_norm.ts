/** Group normalisation on [batch, height, width, channels]: edges, and the channels of Stable Diffusion 1.5. */
import { activations, Random, type Reference } from "./data.js";

export interface GroupNormCase {
  name: string;
  batch: number;
  spatial: readonly number[];
  channels: number;
  groups: number;
  eps: number;
  silu?: boolean;
  /** Mean of the input; 0 unless told. Its standard deviation is 1. */
  mean?: number;
  /** How many of the channels, the last ones, are those of a second tensor. */
  skip?: number;
  bytes: number;
}

export interface NormData extends Record<string, Float32Array | undefined> {
  x: Float32Array;
  weight: Float32Array;
  bias: Float32Array;
}

type Options = Partial<Pick<GroupNormCase, "eps" | "silu" | "mean" | "skip">>;

function make(name: string, shape: readonly number[], groups: number, options: Options = {}): GroupNormCase {
  const [batch, ...rest] = shape;
  const channels = rest[rest.length - 1];
  const spatial = rest.slice(0, -1);
  const bytes = 12 * shape.reduce((a, b) => a * b, 1); // x is read twice and y written, in float32
  return {
    name: `${name} [${shape.join(", ")}] in ${groups} groups`,
    batch,
    spatial,
    channels,
    groups,
    eps: 1e-5,
    bytes,
    ...options,
  };
}

export const groupNormCases: readonly GroupNormCase[] = [
  make("groups of one channel", [2, 3, 5, 6], 6),
  make("one group", [3, 4, 3, 5], 1, { silu: true }),
  make("one pixel", [2, 1, 1, 8], 4),
  make("groups of 3", [3, 5, 7, 9], 3, { silu: true }),
  make("groups of 2 over odd sizes", [2, 3, 3, 30], 15),
  make("tokens", [2, 77, 64], 32, { eps: 1e-6 }),
  make("groups of 10, 16x16 of 64x64", [2, 16, 16, 320], 32, { silu: true }),
  make("groups of 10, before attention", [1, 8, 9, 320], 32, { eps: 1e-6 }),
  make("groups of 30, 9x7 of 64x64", [2, 9, 7, 960], 32, { silu: true }),
  make("groups of 20", [1, 16, 8, 640], 32, { silu: true }),
  make("groups of 40", [2, 8, 8, 1280], 32, { silu: true }),
  make("groups of 60", [1, 8, 4, 1920], 32, { silu: true }),
  make("groups of 80", [1, 8, 8, 2560], 32, { silu: true }),
  make("split groups, as in the VAE: 96x97 of 512x512", [1, 96, 97, 64], 16, { eps: 1e-6, silu: true }),
  make("mean 1000 and deviation 1, which E[x²] - mean² would lose", [2, 33, 31, 20], 2, { mean: 1000 }),
];

/** Channels of two tensors, as the up blocks of a UNet have them. */
export const joinedCases: readonly GroupNormCase[] = [
  make("one quad each", [2, 3, 5, 8], 2, { skip: 4 }),
  make("one group of both", [2, 1, 7, 12], 1, { skip: 8, silu: true }),
  make("a group of 10 over the border", [2, 6, 5, 60], 6, { skip: 16, silu: true }),
  make("320 + 640, groups of 30 over the border", [2, 5, 7, 960], 32, { skip: 640, silu: true }),
  make("1280 + 640", [1, 8, 8, 1920], 32, { skip: 640, silu: true }),
  make("1280 + 1280", [2, 4, 4, 2560], 32, { skip: 1280 }),
];

/** Of 64 KiB an image in float32, at least. */
export const largeCases: readonly GroupNormCase[] = [
  make("pixels that divide by 64", [2, 24, 40, 32], 8, { silu: true }),
  make("one image of channels that fill no quads", [1, 64, 16, 18], 3, { mean: 10 }),
  make("two tensors", [2, 32, 32, 64], 4, { skip: 32, silu: true }),
];

export function groupNormData({ batch, spatial, channels, mean }: GroupNormCase): NormData {
  const random = new Random(channels + batch);
  return {
    x: random.normal(batch * spatial.reduce((a, b) => a * b, 1) * channels, { mean }),
    weight: random.normal(channels, { mean: 1, std: 0.3 }),
    bias: random.normal(channels),
  };
}

/** torch.nn.functional.group_norm on the channels-last layout, then silu if asked. */
export function groupNormReference(item: GroupNormCase, { x, weight, bias }: NormData): Reference {
  const { channels, groups, eps, silu } = item;
  const pixels = item.spatial.reduce((a, b) => a * b, 1);
  const perGroup = channels / groups;
  const moments = new Map<number, readonly [mean: number, scale: number]>();
  const momentsOf = (image: number, group: number): readonly [number, number] => {
    const key = image * groups + group;
    let found = moments.get(key);
    if (!found) {
      const over = (f: (value: number) => number): number => {
        let sum = 0;
        for (let pixel = image * pixels; pixel < (image + 1) * pixels; pixel++)
          for (let c = group * perGroup; c < (group + 1) * perGroup; c++) sum += f(x[pixel * channels + c]);
        return sum / (pixels * perGroup);
      };
      const mean = over((value) => value);
      found = [mean, 1 / Math.sqrt(over((value) => (value - mean) ** 2) + eps)];
      moments.set(key, found);
    }
    return found;
  };
  return (index) => {
    const c = index % channels;
    const image = Math.floor(index / channels / pixels);
    const [mean, scale] = momentsOf(image, Math.floor(c / perGroup));
    return activations[silu ? "silu" : "none"]((x[index] - mean) * scale * weight[c] + bias[c]);
  };
}
