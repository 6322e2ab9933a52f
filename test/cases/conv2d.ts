/** Convolutions on NHWC: edges, and layers of Stable Diffusion 1.5 on smaller pictures (channels and kernels are theirs). */
import type { Activation } from "../../kernels/activation.js";
import { float16ToFloat32, float32ToFloat16 } from "../../src/tensor/dtype.js";
import { activations, Random, type FloatType, type Reference } from "./data.js";

export interface Conv2dCase {
  name: string;
  batch: number;
  height: number;
  width: number;
  cin: number;
  cout: number;
  kernel: readonly [height: number, width: number];
  stride: number;
  /** top, bottom, left, right */
  padding: readonly [number, number, number, number];
  upsample?: boolean;
  shift?: boolean;
  residual?: boolean;
  /** Channels of the tensors of a shortcut. */
  shortcut?: readonly [number] | readonly [number, number];
  activation?: Activation;
  outHeight: number;
  outWidth: number;
  flops: number;
}

export interface Conv2dData extends Record<string, Float32Array | undefined> {
  x: Float32Array;
  w: Float32Array;
  bias: Float32Array;
  shift?: Float32Array;
  residual?: Float32Array;
  shortcut?: Float32Array;
  skip?: Float32Array;
  shortcutWeight?: Float32Array;
  shortcutBias?: Float32Array;
}

type Options = Partial<
  Pick<Conv2dCase, "upsample" | "shift" | "residual" | "shortcut" | "activation" | "stride" | "padding">
>;

export function make(
  name: string,
  [batch, height, width, cin]: readonly [number, number, number, number],
  cout: number,
  [kh, kw]: readonly [number, number],
  options: Options = {},
): Conv2dCase {
  const { stride = 1, upsample = false } = options;
  const padding = options.padding ?? [(kh - 1) >> 1, (kh - 1) >> 1, (kw - 1) >> 1, (kw - 1) >> 1];
  const zoom = upsample ? 2 : 1;
  const outHeight = Math.floor((height * zoom + padding[0] + padding[1] - kh) / stride) + 1;
  const outWidth = Math.floor((width * zoom + padding[2] + padding[3] - kw) / stride) + 1;
  const others = (options.shortcut ?? []).reduce((sum: number, channels) => sum + channels, 0);
  const flops = 2 * batch * outHeight * outWidth * cout * (cin * kh * kw + others);
  const shape = `[${batch}, ${height}, ${width}, ${cin}] -> ${cout}, ${kh}x${kw}`;
  return {
    name: `${name} ${shape}`,
    batch,
    height,
    width,
    cin,
    cout,
    kernel: [kh, kw] as const,
    outHeight,
    outWidth,
    flops,
    ...options,
    stride,
    padding,
  };
}

const K1 = [1, 1] as const;
export const K3 = [3, 3] as const;
export const everything = { shift: true, residual: true } as const;

export const conv2dCases: readonly Conv2dCase[] = [
  make("one pixel", [1, 1, 1, 1], 1, K3),
  make("one pixel of quads", [1, 1, 1, 4], 8, K3, { ...everything, activation: "silu" }),
  make("channels 3 to 5", [2, 5, 4, 3], 5, K3, { ...everything, activation: "silu" }),
  make("channels 6 to 30", [1, 4, 7, 6], 30, K3, { residual: true }),
  make("channels 1 to 4", [3, 3, 5, 1], 4, K3, { shift: true }),
  make("channels 4 to 1", [2, 6, 3, 4], 1, K3),
  make("rows that fill no tile", [3, 7, 9, 8], 24, K3, everything),
  make("odd channels, 1x1", [2, 5, 5, 30], 6, K1, { ...everything, activation: "quick_gelu" }),
  make("1x1", [1, 3, 11, 12], 16, K1),
  make("stride 2", [2, 9, 8, 8], 16, K3, { stride: 2, residual: true, activation: "gelu" }),
  make("stride 2, odd channels", [1, 8, 9, 3], 5, K3, { stride: 2 }),
  make("padded right and below only (VAE encoder)", [2, 8, 10, 8], 8, K3, { stride: 2, padding: [0, 1, 0, 1] }),
  make("padded right and below only, odd", [1, 7, 5, 6], 5, K3, { stride: 2, padding: [0, 1, 0, 1] }),
  make("padding of four sizes", [1, 4, 5, 4], 8, K3, { padding: [3, 0, 1, 2] }),
  make("no padding", [2, 5, 6, 4], 8, K3, { padding: [0, 0, 0, 0] }),
  make("upsampled", [2, 3, 5, 8], 16, K3, { upsample: true, shift: true, activation: "silu" }),
  make("upsampled, odd channels", [2, 3, 2, 5], 3, K3, { upsample: true }),
  make("kernel 3x1", [1, 6, 5, 4], 8, [3, 1]),
  make("kernel 5x2", [1, 6, 7, 8], 4, [5, 2], { stride: 3, padding: [2, 2, 1, 0] }),
  make("conv_in, 8 rows of 64x64", [1, 8, 64, 4], 320, K3),
  make("conv_out, 4 rows of 64x64", [1, 4, 64, 320], 4, K3),
  make("VAE conv_in, 4 rows of 512x512", [1, 4, 512, 3], 128, K3),
  make("VAE conv_out, 2 rows of 512x512", [1, 2, 512, 128], 3, K3),
  make("down block, 5x5 of 64x64", [2, 5, 5, 320], 320, K3, { shift: true, activation: "silu" }),
  make("downsampler, 9x6 of 64x64", [1, 9, 6, 320], 320, K3, { stride: 2 }),
  make("down block, 3x4 of 32x32", [1, 3, 4, 320], 640, K3, everything),
  make("shortcut, 8x8 of 64x64", [1, 8, 8, 960], 320, K1),
  make("up block, 3x3 of 64x64", [1, 3, 3, 960], 320, K3, { residual: true }),
  make("middle block, 2x2 of 8x8", [1, 2, 2, 1280], 1280, K3, { shift: true }),
  make("shortcut, 3x5 of 16x16", [1, 3, 5, 2560], 1280, K1),
  make("VAE upsampler, 3x4 of 64x64", [1, 3, 4, 512], 512, K3, { upsample: true }),
  make("VAE block, 6x7 of 512x512", [1, 6, 7, 256], 128, K3, { residual: true }),
];

/** Convolutions with a 1x1 convolution of other tensors in the same sums. */
export const shortcutCases: readonly Conv2dCase[] = [
  make("quads of one tensor", [2, 3, 5, 16], 24, K3, { shortcut: [32] }),
  make("quads of two tensors", [2, 3, 5, 16], 24, K3, { shortcut: [32, 16], activation: "silu" }),
  make("odd channels of one tensor", [1, 4, 3, 3], 5, K3, { shortcut: [7] }),
  make("odd channels of two tensors", [2, 3, 4, 6], 10, K3, { shortcut: [5, 2], activation: "gelu" }),
  make("no quads in the second", [1, 5, 4, 8], 8, K3, { shortcut: [4, 6] }),
  make("an input of another size", [1, 7, 6, 8], 16, K3, { shortcut: [12, 4], stride: 2 }),
  make("up block, 2x3 of 32x32", [1, 2, 3, 640], 640, K3, { shortcut: [1280, 640] }),
];

/** Upsampled convolutions that can be done in phases, of channels for every kind of tile. */
export const phaseCases: readonly Conv2dCase[] = [
  make("all terms, odd sizes", [2, 3, 5, 16], 24, K3, { upsample: true, ...everything }),
  make("one pixel", [1, 1, 1, 16], 8, K3, { upsample: true }),
  make("one column", [2, 7, 1, 16], 16, K3, { upsample: true, shift: true, activation: "silu" }),
  make("rows for several tiles", [1, 9, 8, 16], 72, K3, { upsample: true, residual: true }),
];

/** Convolutions whose channels can be cut into slices, for every kind of tile. */
export const sliceCases: readonly Conv2dCase[] = [
  make("all terms", [2, 3, 5, 48], 24, K3, { ...everything, activation: "silu" }),
  make("a shortcut", [2, 3, 5, 48], 24, K3, { shortcut: [32, 16], activation: "gelu" }),
];

export function conv2dData(item: Conv2dCase): Conv2dData {
  const { batch, height, width, cin, cout, kernel, outHeight, outWidth, shift, residual } = item;
  const random = new Random(cin * 31 + cout * 7 + height);
  const terms = cin * kernel[0] * kernel[1];
  const [first = 0, second = 0] = item.shortcut ?? [];
  const pixels = batch * outHeight * outWidth;
  return {
    x: random.normal(batch * height * width * cin),
    w: random.normal(terms * cout, { std: 1 / Math.sqrt(terms) }),
    bias: random.normal(cout),
    shift: shift ? random.normal(batch * cout) : undefined,
    residual: residual ? random.normal(pixels * cout) : undefined,
    shortcut: first > 0 ? random.normal(pixels * first) : undefined,
    skip: second > 0 ? random.normal(pixels * second) : undefined,
    shortcutWeight:
      first > 0 ? random.normal((first + second) * cout, { std: 1 / Math.sqrt(first + second) }) : undefined,
    shortcutBias: first > 0 ? random.normal(cout) : undefined,
  };
}

/** torch: activation(conv2d(interpolate(x) if upsample, w, bias) + shift[:, :, None, None] + residual + conv2d(cat(sources))), in NHWC. */
export function conv2dReference(item: Conv2dCase, data: Conv2dData): Reference {
  const { x, w, bias, shift, residual } = data;
  const {
    height,
    width,
    cin,
    cout,
    kernel,
    stride,
    padding,
    upsample,
    outHeight,
    outWidth,
    activation = "none",
  } = item;
  const zoom = upsample ? 2 : 1;
  return (index) => {
    const o = index % cout;
    const ox = Math.floor(index / cout) % outWidth;
    const oy = Math.floor(index / cout / outWidth) % outHeight;
    const image = Math.floor(index / cout / outWidth / outHeight);
    let sum = bias[o] + (shift?.[image * cout + o] ?? 0) + (residual?.[index] ?? 0);
    for (let ky = 0; ky < kernel[0]; ky++)
      for (let kx = 0; kx < kernel[1]; kx++) {
        const iy = oy * stride + ky - padding[0];
        const ix = ox * stride + kx - padding[2];
        if (iy < 0 || ix < 0 || iy >= height * zoom || ix >= width * zoom) continue;
        const pixel = (image * height + Math.floor(iy / zoom)) * width + Math.floor(ix / zoom);
        const tap = (ky * kernel[1] + kx) * cin;
        for (let c = 0; c < cin; c++) sum += x[pixel * cin + c] * w[(tap + c) * cout + o];
      }
    return activations[activation](sum + shortcutSum(item, data, index));
  };
}

/** What the 1x1 convolution of other tensors and its bias add to an element. */
export function shortcutSum({ shortcut = [0], cout }: Conv2dCase, data: Conv2dData, index: number): number {
  const o = index % cout;
  const pixel = Math.floor(index / cout);
  let sum = data.shortcutBias?.[o] ?? 0;
  let row = 0;
  [data.shortcut, data.skip].forEach((source, i) => {
    const channels = source ? shortcut[i]! : 0;
    for (let c = 0; c < channels; c++, row++)
      sum += source![pixel * channels + c] * data.shortcutWeight![row * cout + o];
  });
  return sum;
}

/**
 * The same of an upsampled 3x3 convolution, in four phases, with sums of weights as the type holds them:
 * rounding them is what sets float16 apart from conv2dReference.
 */
export function phasesReference(item: Conv2dCase, data: Conv2dData, dtype: FloatType): Reference {
  const { height, width, cin, cout, activation = "none" } = item;
  /** Taps of the large kernel by phase and tap of the small one. */
  const taps = [
    [[0], [1, 2]],
    [[0, 1], [2]],
  ];
  const sums = taps.flatMap((ys) =>
    taps.flatMap((xs) =>
      ys.flatMap((ky) => xs.map((kx) => ky.flatMap((y) => kx.map((x) => (3 * y + x) * cin * cout)))),
    ),
  );
  const inFloat32 = new Float32Array(16 * cin * cout);
  sums.forEach((starts, i) => {
    for (let j = 0; j < cin * cout; j++)
      inFloat32[i * cin * cout + j] = starts.reduce((sum, start) => sum + data.w[start + j], 0);
  });
  const w = dtype === "float16" ? float16ToFloat32(float32ToFloat16(inFloat32)) : inFloat32;
  return (index) => {
    const o = index % cout;
    const ox = Math.floor(index / cout) % (2 * width);
    const oy = Math.floor(index / cout / 2 / width) % (2 * height);
    const image = Math.floor(index / cout / 4 / width / height);
    const phase = (oy % 2) * 2 + (ox % 2);
    let sum = data.bias[o] + (data.shift?.[image * cout + o] ?? 0) + (data.residual?.[index] ?? 0);
    for (let tap = 0; tap < 4; tap++) {
      const iy = ((oy + 1) >> 1) - 1 + (tap >> 1);
      const ix = ((ox + 1) >> 1) - 1 + (tap & 1);
      if (iy < 0 || ix < 0 || iy >= height || ix >= width) continue;
      const pixel = (image * height + iy) * width + ix;
      for (let c = 0; c < cin; c++) sum += data.x[pixel * cin + c] * w[((phase * 4 + tap) * cin + c) * cout + o];
    }
    return activations[activation](sum);
  };
}
