/** Sizes for kernels over elements: around a quad, around a workgroup, and those of Stable Diffusion 1.5. */
import { activations, Random, type Reference } from "./data.js";

export const elementCases: readonly { name: string; shape: readonly number[] }[] = [
  { name: "one", shape: [1] },
  { name: "three", shape: [3] },
  { name: "five", shape: [1, 5] },
  { name: "a workgroup and one", shape: [257] },
  { name: "latents", shape: [2, 64, 64, 4] },
  { name: "odd axes", shape: [3, 5, 7, 3] },
  { name: "nothing", shape: [2, 0, 3] },
];

export interface GegluCase {
  name: string;
  rows: number;
  inner: number;
  bytes: number;
}

const geglu = (name: string, rows: number, inner: number): GegluCase => ({
  name,
  rows,
  inner,
  bytes: 12 * rows * inner,
});

export const gegluCases: readonly GegluCase[] = [
  geglu("one pair", 1, 1),
  geglu("inner 3", 5, 3),
  geglu("inner 6, quads that straddle rows", 3, 6),
  geglu("inner 30", 7, 30),
  geglu("one quad", 2, 4),
  geglu("level 1, 20 of 8192 rows", 20, 1280),
  geglu("level 2, 5 of 2048 rows", 5, 2560),
  geglu("level 3, 3 of 512 rows", 3, 5120),
];

export const gegluData = ({ rows, inner }: GegluCase): Float32Array => new Random(inner).normal(rows * inner * 2);

/** diffusers' GEGLU after its projection: value * gelu(gate), value the first half of a row. */
export const gegluReference =
  ({ inner }: GegluCase, x: Float32Array): Reference =>
  (index) => {
    const start = Math.floor(index / inner) * 2 * inner + (index % inner);
    return x[start] * activations.gelu(x[start + inner]);
  };

/** Terms and coefficients of a scheduler's step, from one to the most. */
export function termsData(count: number, size: number): { coefficients: number[]; terms: Float32Array[] } {
  const random = new Random(count + size);
  const coefficients = Array.from({ length: count }, (_, k) => (k % 2 ? -1 : 1) * (0.1 + 2 * random.next()));
  return { coefficients, terms: coefficients.map(() => random.normal(size)) };
}
