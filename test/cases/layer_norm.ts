/** Layer normalisation over the last axis: edges, and the widths of Stable Diffusion 1.5 and CLIP. */
import { Random, type Reference } from "./data.js";
import type { NormData } from "./group_norm.js";

export interface LayerNormCase {
  name: string;
  shape: readonly number[];
  width: number;
  rows: number;
  eps: number;
  /** Mean of the input; 0 unless told. Its standard deviation is 1. */
  mean?: number;
  bytes: number;
}

function make(name: string, shape: readonly number[], mean?: number): LayerNormCase {
  const width = shape[shape.length - 1];
  const rows = shape.slice(0, -1).reduce((a, b) => a * b, 1);
  return { name: `${name} [${shape.join(", ")}]`, shape, width, rows, eps: 1e-5, mean, bytes: 8 * rows * width };
}

export const layerNormCases: readonly LayerNormCase[] = [
  make("one number", [1, 1]),
  make("width 3", [7, 3]),
  make("width 5", [2, 3, 5]),
  make("width 6", [3, 6]),
  make("width 30", [65, 30]),
  make("one quad", [1, 4]),
  make("rows that fill no workgroup", [67, 12]),
  make("width above a workgroup", [3, 260]),
  make("level 1, 100 of 8192 rows", [2, 50, 320]),
  make("level 2, 66 of 2048 rows", [66, 640]),
  make("level 3, 33 of 512 rows", [33, 1280]),
  make("CLIP", [1, 77, 768]),
  make("mean 1000 and deviation 1, which E[x²] - mean² would lose", [5, 320], 1000),
];

export function layerNormData({ rows, width, mean }: LayerNormCase): NormData {
  const random = new Random(rows + width);
  const x = random.normal(rows * width, { mean });
  return { x, weight: random.normal(width, { mean: 1, std: 0.3 }), bias: random.normal(width) };
}

/** torch.nn.functional.layer_norm. */
export function layerNormReference({ width, eps }: LayerNormCase, { x, weight, bias }: NormData): Reference {
  const mean = (values: number[]): number => values.reduce((a, b) => a + b, 0) / width;
  return (index) => {
    const start = Math.floor(index / width) * width;
    const row = Array.from(x.subarray(start, start + width));
    const center = mean(row);
    const variance = mean(row.map((value) => (value - center) ** 2));
    const c = index - start;
    return ((x[index] - center) / Math.sqrt(variance + eps)) * weight[c] + bias[c];
  };
}
