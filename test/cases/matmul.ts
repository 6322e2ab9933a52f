/** Products x[M, K] · w[K, N]: edges and the shapes of Stable Diffusion 1.5 (fewer rows where the name says so). */
import type { Activation } from "../../kernels/activation.js";
import { activations, Random, type Reference } from "./data.js";

export interface MatmulCase {
  name: string;
  m: number;
  n: number;
  k: number;
  bias?: boolean;
  residual?: boolean;
  activation?: Activation;
  /** Columns are pairs of quads; the result has half as many. */
  gated?: "gelu" | "gelu_tanh";
  flops: number;
}

export interface MatmulData extends Record<string, Float32Array | undefined> {
  x: Float32Array;
  w: Float32Array;
  bias?: Float32Array;
  residual?: Float32Array;
}

type Options = Pick<MatmulCase, "bias" | "residual" | "activation" | "gated">;

const make = (name: string, m: number, n: number, k: number, options: Options = {}): MatmulCase => ({
  name: `${name} [${m}, ${k}] x [${k}, ${n}]`,
  m,
  n,
  k,
  flops: 2 * m * n * k,
  ...options,
});

export const matmulCases: readonly MatmulCase[] = [
  make("one number", 1, 1, 1, { bias: true }),
  make("odd sizes", 3, 5, 7, { bias: true, residual: true, activation: "silu" }),
  make("K not a quad", 9, 8, 6, { residual: true }),
  make("N not a quad", 5, 6, 8, { bias: true, activation: "gelu" }),
  make("N 30", 4, 30, 12, { bias: true }),
  make("one quad", 1, 4, 4),
  make("rows that fill no tile", 13, 24, 20, { bias: true, residual: true }),
  make("pairs of quads", 13, 40, 12, { bias: true, gated: "gelu" }),
  make("pairs of quads", 9, 8, 7, { gated: "gelu_tanh" }),
  make("GEGLU of level 1, 33 of 8192 rows", 33, 2560, 320, { bias: true, gated: "gelu" }),
  make("several workgroups, none full", 77, 136, 36, { bias: true, residual: true }),
  make("no rows", 0, 8, 8),
  make("time embedding", 2, 1280, 320, { bias: true, activation: "silu" }),
  make("time embedding", 2, 1280, 1280, { bias: true }),
  make("context k", 154, 320, 768),
  make("self-attention q, 64 of 8192 rows", 64, 320, 320),
  make("feed-forward in, 32 of 8192 rows", 32, 2560, 320, { bias: true }),
  make("feed-forward out, 33 of 2048 rows", 33, 640, 2560, { bias: true, residual: true }),
  make("feed-forward in, 9 of 512 rows", 9, 10240, 1280, { bias: true }),
  make("feed-forward out, 17 of 128 rows", 17, 1280, 5120, { bias: true, residual: true }),
  make("CLIP feed-forward in, 77 rows", 77, 3072, 768, { bias: true, activation: "quick_gelu" }),
];

export function matmulData({ m, n, k, bias, residual }: MatmulCase): MatmulData {
  const random = new Random(m * 7 + n * 3 + k);
  return {
    x: random.normal(m * k),
    w: random.normal(k * n, { std: 1 / Math.sqrt(k) }),
    bias: bias ? random.normal(n) : undefined,
    residual: residual ? random.normal(m * n) : undefined,
  };
}

/** Columns of the result. */
export const columnsOf = ({ n, gated }: MatmulCase): number => (gated ? n / 2 : n);

/** torch: activation(x @ w + bias + residual), or value * gelu(gate) of such products. */
export function matmulReference(item: MatmulCase, data: MatmulData): Reference {
  const { n, k, activation = "none" } = item;
  const { x, w, bias, residual } = data;
  const product = (row: number, column: number): number => {
    let sum = (bias?.[column] ?? 0) + (residual?.[row * n + column] ?? 0);
    for (let i = 0; i < k; i++) sum += x[row * k + i] * w[i * n + column];
    return sum;
  };
  return (index) => {
    const columns = columnsOf(item);
    const [row, column] = [Math.floor(index / columns), index % columns];
    if (!item.gated) return activations[activation](product(row, column));
    const value = 8 * (column >> 2) + (column & 3);
    return product(row, value) * activations[item.gated](product(row, value + 4));
  };
}
