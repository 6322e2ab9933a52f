/** Convolutions by Winograd's filtering, and what they give with image and weights rounded in its basis. */
import { everything, K3, make, shortcutSum, type Conv2dCase, type Conv2dData } from "./conv2d.js";
import { activations, rounded, type FloatType, type Reference } from "./data.js";

/** Of channels for every kind of tile. */
export const winogradCases: readonly Conv2dCase[] = [
  make("all terms, odd sizes", [2, 5, 7, 16], 24, K3, { ...everything, activation: "silu" }),
  make("one pixel", [1, 1, 1, 16], 8, K3),
  make("padding of four sizes", [1, 4, 5, 16], 8, K3, { padding: [3, 0, 1, 2], shift: true }),
  make("no padding", [2, 5, 6, 16], 8, K3, { padding: [0, 0, 0, 0], residual: true }),
  make("rows for several tiles", [1, 17, 16, 16], 72, K3, { residual: true }),
  make("a shortcut", [2, 3, 5, 16], 24, K3, { shortcut: [32], activation: "gelu" }),
  make("a shortcut of two tensors", [2, 3, 5, 16], 24, K3, { shortcut: [32, 16] }),
  make("upsampled, all terms, odd sizes", [2, 3, 5, 16], 24, K3, { upsample: true, ...everything }),
  make("upsampled, one pixel", [1, 1, 1, 16], 8, K3, { upsample: true }),
  make("upsampled, one column", [2, 7, 1, 16], 16, K3, { upsample: true, shift: true, activation: "silu" }),
  make("upsampled, rows for several tiles", [1, 9, 8, 16], 72, K3, { upsample: true, residual: true }),
];

type Matrix = readonly (readonly number[])[];

/** Lavin & Gray 2015, section 4.1, and the same where the second and third pixel of a line are one. */
const BASES: Record<"plain" | "upsampled", { input: Matrix; weight: Matrix; output: Matrix }> = {
  plain: {
    input: [
      [1, 0, -1, 0],
      [0, 1, 1, 0],
      [0, -1, 1, 0],
      [0, 1, 0, -1],
    ],
    weight: [
      [1, 0, 0],
      [0.5, 0.5, 0.5],
      [0.5, -0.5, 0.5],
      [0, 0, 1],
    ],
    output: [
      [1, 1, 1, 0],
      [0, 1, -1, -1],
    ],
  },
  upsampled: {
    input: [
      [1, -1, 0],
      [0, 1, 0],
      [0, 1, -1],
    ],
    weight: [
      [1, 0, 0],
      [1, 1, 1],
      [0, 0, 1],
    ],
    output: [
      [1, 1, 0],
      [0, 1, -1],
    ],
  },
};

/** Σ rows[p][i] · columns[q][j] · value(i, j) */
function inBasis(rows: readonly number[], columns: readonly number[], value: (i: number, j: number) => number): number {
  let sum = 0;
  for (let i = 0; i < rows.length; i++)
    for (let j = 0; j < columns.length; j++)
      if (rows[i] !== 0 && columns[j] !== 0) sum += rows[i] * columns[j] * value(i, j);
  return sum;
}

/** conv2dReference with image, weights and a shortcut's sums rounded as the type holds them: what sets float16 apart from it. */
export function winogradReference(item: Conv2dCase, data: Conv2dData, dtype: FloatType): Reference {
  const { height, width, cin, cout, padding, upsample = false, outHeight, outWidth, activation = "none" } = item;
  const { input, weight, output } = BASES[upsample ? "upsampled" : "plain"];
  const side = input.length;
  const weights = new Float32Array(side * side * cin * cout);
  for (let place = 0; place < side * side; place++)
    for (let i = 0; i < cin * cout; i++)
      weights[place * cin * cout + i] = inBasis(
        weight[Math.floor(place / side)],
        weight[place % side],
        (ky, kx) => data.w[(3 * ky + kx) * cin * cout + i],
      );
  const w = rounded(weights, dtype);
  const step = upsample ? 1 : 2;
  const pixel = (image: number, y: number, x: number, c: number): number =>
    y < 0 || x < 0 || y >= height || x >= width ? 0 : data.x[((image * height + y) * width + x) * cin + c];
  return (index) => {
    const o = index % cout;
    const ox = Math.floor(index / cout) % outWidth;
    const oy = Math.floor(index / cout / outWidth) % outHeight;
    const image = Math.floor(index / cout / outWidth / outHeight);
    const y = (oy >> 1) * step - padding[0];
    const x = (ox >> 1) * step - padding[2];
    const places = Float32Array.from({ length: side * side * cin }, (_, i) => {
      const place = Math.floor(i / cin);
      const value = (r: number, s: number): number => pixel(image, y + r, x + s, i % cin);
      return inBasis(input[Math.floor(place / side)], input[place % side], value) / 4;
    });
    const v = rounded(places, dtype);
    let sum = inBasis(output[oy & 1], output[ox & 1], (p, q) => {
      let product = 0;
      for (let c = 0; c < cin; c++) product += v[(p * side + q) * cin + c] * w[((p * side + q) * cin + c) * cout + o];
      return 4 * product;
    });
    const rest = data.bias[o] + shortcutSum(item, data, index);
    sum += item.shortcut ? rounded(Float32Array.of(rest), dtype)[0] : rest;
    sum += (data.shift?.[image * cout + o] ?? 0) + (data.residual?.[index] ?? 0);
    return activations[activation](sum);
  };
}
