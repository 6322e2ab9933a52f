/** Ops that move numbers without arithmetic: cases of copy, concat, upsampleNearest and embedding, with references. */
import { Random, type Reference } from "./data.js";

const product = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

export const numbers = (shape: readonly number[]): Float32Array =>
  new Random(product(shape) + shape.length).normal(product(shape));

export interface PermuteCase {
  name: string;
  shape: readonly number[];
  axes: readonly number[];
  bytes: number;
}

const permuted = (name: string, shape: readonly number[], axes: readonly number[]): PermuteCase => ({
  name: `${name} [${shape.join(", ")}] by ${axes.join("")}`,
  shape,
  axes,
  bytes: 8 * product(shape),
});

export const permuteCases: readonly PermuteCase[] = [
  permuted("transpose", [3, 5], [1, 0]),
  permuted("one axis", [7], [0]),
  permuted("three axes", [2, 3, 5], [2, 0, 1]),
  permuted("to NHWC", [2, 4, 6, 5], [0, 2, 3, 1]),
  permuted("to NCHW", [2, 6, 5, 3], [0, 3, 1, 2]),
  permuted("reversed", [3, 4, 5, 6], [3, 2, 1, 0]),
  permuted("latents to NHWC", [2, 4, 64, 64], [0, 2, 3, 1]),
  permuted("weights of a convolution", [320, 64, 3, 3], [2, 3, 1, 0]),
];

/** numpy's transpose. */
export function permuteReference({ shape, axes }: PermuteCase, x: Float32Array): Reference {
  const result = axes.map((axis) => shape[axis]);
  const strides = axes.map((axis) => product(shape.slice(axis + 1)));
  return (index) => {
    let at = 0;
    for (let i = result.length - 1; i >= 0; i--) {
      at += (index % result[i]) * strides[i];
      index = Math.floor(index / result[i]);
    }
    return x[at];
  };
}

export interface ConcatCase {
  name: string;
  a: readonly number[];
  b: readonly number[];
  axis: number;
  bytes: number;
}

const joined = (name: string, a: readonly number[], b: readonly number[], axis: number): ConcatCase => ({
  name: `${name} [${a.join(", ")}] and [${b.join(", ")}]`,
  a,
  b,
  axis,
  bytes: 8 * (product(a) + product(b)),
});

export const concatCases: readonly ConcatCase[] = [
  joined("odd widths", [2, 3], [2, 5], 1),
  joined("last axis by -1", [3, 2, 6], [3, 2, 1], -1),
  joined("first axis", [2, 3], [1, 3], 0),
  joined("middle axis", [2, 3, 5], [2, 1, 5], 1),
  joined("one odd width", [5, 4], [5, 3], 1),
  joined("nothing and something", [2, 0, 4], [2, 3, 4], 1),
  joined("batches of latents", [1, 8, 8, 4], [1, 8, 8, 4], 0),
  joined("skip connection, 9x7 of 32x32", [2, 9, 7, 640], [2, 9, 7, 320], 3),
  joined("skip connection, 3x3 of 8x8", [2, 3, 3, 1280], [2, 3, 3, 1280], 3),
];

/** torch.cat. */
export function concatReference({ a, b, axis }: ConcatCase, x: Float32Array, y: Float32Array): Reference {
  const at = axis < 0 ? axis + a.length : axis;
  const [widthA, widthB] = [product(a.slice(at)), product(b.slice(at))];
  return (index) => {
    const row = Math.floor(index / (widthA + widthB));
    const c = index % (widthA + widthB);
    return c < widthA ? x[row * widthA + c] : y[row * widthB + c - widthA];
  };
}

export interface UpsampleCase {
  name: string;
  shape: readonly [batch: number, height: number, width: number, channels: number];
  size: readonly [height: number, width: number];
  bytes: number;
}

const resized = (name: string, shape: UpsampleCase["shape"], size: UpsampleCase["size"]): UpsampleCase => ({
  name: `${name} [${shape.join(", ")}] to ${size.join("x")}`,
  shape,
  size,
  bytes: 8 * shape[0] * size[0] * size[1] * shape[3],
});

export const upsampleCases: readonly UpsampleCase[] = [
  resized("one pixel", [1, 1, 1, 1], [3, 5]),
  resized("twice, odd channels", [2, 3, 2, 5], [6, 4]),
  resized("to odd sizes", [2, 4, 5, 8], [7, 11]),
  resized("to odd sizes, odd channels", [1, 8, 6, 3], [15, 13]),
  resized("smaller", [1, 9, 10, 4], [4, 3]),
  resized("the same", [1, 3, 4, 6], [3, 4]),
  resized("a prime to a prime", [1, 31, 29, 1], [61, 59]),
  resized("upsampler of level 3, twice", [2, 8, 8, 64], [16, 16]),
];

/** torch.nn.functional.interpolate(mode="nearest"), which multiplies by the float32 quotient of the sizes. */
export function upsampleReference({ shape, size }: UpsampleCase, x: Float32Array): Reference {
  const [, height, width, channels] = shape;
  const source = (target: number, from: number, to: number): number =>
    Math.min(Math.floor(Math.fround(target * Math.fround(from / to))), from - 1);
  return (index) => {
    const c = index % channels;
    const pixel = Math.floor(index / channels);
    const ix = source(pixel % size[1], width, size[1]);
    const row = Math.floor(pixel / size[1]);
    const iy = source(row % size[0], height, size[0]);
    return x[((Math.floor(row / size[0]) * height + iy) * width + ix) * channels + c];
  };
}

export interface EmbeddingCase {
  name: string;
  batch: number;
  tokens: number;
  rows: number;
  width: number;
  position: boolean;
  bytes: number;
}

const embedded = (name: string, [batch, tokens, rows, width]: readonly number[], position = true): EmbeddingCase => ({
  name: `${name}, ${rows} rows of ${width}`,
  batch,
  tokens,
  rows,
  width,
  position,
  bytes: 12 * batch * tokens * width,
});

export const embeddingCases: readonly EmbeddingCase[] = [
  embedded("one token", [1, 1, 1, 1]),
  embedded("odd widths", [2, 3, 7, 5]),
  embedded("width 6, quads that straddle tokens", [2, 5, 11, 6]),
  embedded("no positions", [3, 4, 9, 8], false),
  embedded("a prompt and its negative", [2, 77, 999, 64]),
];

/** torch: table[ids] + position[:tokens]. */
export function embeddingReference(
  { tokens, rows, width }: EmbeddingCase,
  ids: Int32Array,
  table: Float32Array,
  position?: Float32Array,
): Reference {
  return (index) => {
    const token = Math.floor(index / width);
    const row = Math.max(0, Math.min(ids[token], rows - 1));
    return table[row * width + (index % width)] + (position?.[(token % tokens) * width + (index % width)] ?? 0);
  };
}
