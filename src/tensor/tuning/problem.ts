/** What is tuned: products, convolutions and attentions, as far as their fastest kernel depends on them, and ways of computing them. */
import type { Activation } from "../../../kernels/activation.js";
import type { Gate } from "../../../kernels/matmul.wgsl.js";
import type { Edges } from "../ops/conv2d.js";
import type { AnyFlashTile } from "../ops/flash_attention.js";
import type { Tile } from "../ops/tiling.js";
import { product, type DType } from "../dtype.js";

/** What follows the sums: of little weight, so that it makes no problem of its own. */
export interface Finish {
  bias: boolean;
  residual: boolean;
  /** [batch, cout], added to every pixel of an image. */
  shift: boolean;
  activation: Activation;
}

export interface MatmulProblem {
  op: "matmul";
  dtype: DType;
  m: number;
  n: number;
  k: number;
  gated: Gate;
  finish: Omit<Finish, "shift">;
}

export interface Conv2dProblem {
  op: "conv2d";
  dtype: DType;
  /** [batch, height, width, cin] */
  x: readonly number[];
  /** [kernelHeight, kernelWidth, cin, cout] */
  w: readonly number[];
  /** [height, width] of the result. */
  out: readonly number[];
  stride: number;
  edges: Edges;
  upsample: boolean;
  /** Channels of the shortcut's sources. */
  shortcut: readonly number[];
  finish: Finish;
}

export interface AttentionProblem {
  op: "attention";
  dtype: DType;
  batch: number;
  heads: number;
  queries: number;
  keys: number;
  headSize: number;
  causal: boolean;
}

export type Problem = MatmulProblem | Conv2dProblem | AttentionProblem;

/** Options of matmul, conv2d or attention that say how, and not what, to compute. Without any, rules decide. */
export interface Way {
  tile?: Tile;
  slices?: number;
  winograd?: boolean;
  phases?: boolean;
  by?: "plain" | "flash" | "scores";
  flashTile?: AnyFlashTile;
}

/** The same for two calls of which the same way is the fastest. */
export function keyOf(problem: Problem): string {
  const { finish: _, ...rest } = { finish: undefined, ...problem };
  return JSON.stringify(Object.values(rest));
}

/** Floating-point operations, about. */
export function flopsOf(problem: Problem): number {
  switch (problem.op) {
    case "matmul":
      return 2 * problem.m * problem.n * problem.k;
    case "conv2d": {
      const { x, w, out, shortcut } = problem;
      const terms = w[0] * w[1] * w[2] + shortcut.reduce((sum, channels) => sum + channels, 0);
      return 2 * x[0] * product(out) * w[3] * terms;
    }
    case "attention":
      return 4 * problem.batch * problem.heads * problem.queries * problem.keys * problem.headSize;
  }
}

/** For people: "conv2d 3x3 2x64x64x320 to 320 float16". */
export function labelOf(problem: Problem): string {
  const { op, dtype } = problem;
  const text = (): string => {
    switch (problem.op) {
      case "matmul":
        return `${problem.m}x${problem.n}x${problem.k}${problem.gated === "none" ? "" : " gated"}`;
      case "conv2d": {
        const { x, w, stride, upsample, shortcut } = problem;
        const more = `${upsample ? " doubled" : ""}${shortcut.length > 0 ? ` + 1x1 of ${shortcut.join("+")}` : ""}`;
        return `${w[0]}x${w[1]}${stride > 1 ? ` /${stride}` : ""} ${x.join("x")} to ${w[3]}${more}`;
      }
      case "attention": {
        const { batch, heads, queries, keys, headSize, causal } = problem;
        return `${batch}x${heads}x${queries}x${keys} of ${headSize}${causal ? " causal" : ""}`;
      }
    }
  };
  return `${op} ${text()} ${dtype}`;
}

/** The same of a way: "winograd, 8x2 workgroup tile". */
export function wayText({ tile, slices = 1, winograd, phases, by, flashTile }: Way): string {
  const parts = [
    winograd ? "winograd" : "",
    phases ? "phases" : "",
    by ?? "",
    tile ? `${tile.by ?? "registers"} tile ${sizesOf(tile)}` : "",
    flashTile ? `tile ${sizesOf(flashTile)}` : "",
    slices > 1 ? `${slices} slices` : "",
  ];
  return parts.filter((part) => part !== "").join(", ") || "by rule";
}

const sizesOf = (tile: object): string =>
  Object.entries(tile)
    .filter(([key, value]) => (typeof value === "number" || typeof value === "boolean") && key !== "lanes")
    .map(([key, value]) => (value === true ? key : value === false ? `not ${key}` : `${key} ${String(value)}`))
    .join(" ");
