/** An op with its inputs as plain numbers, for libraries that are not ours. */
import type { Tensor } from "../../src/tensor/tensor.js";
import type { Reference } from "../../test/cases/data.js";
import type { BenchCase } from "../bench_case.js";
import { benchOf } from "../ops.js";
import type { AttentionShape, Conv2dShape, GroupNormShape, LayerNormShape, MatmulShape, Shape } from "../shapes.js";

/** The ops of the quick list. */
export type PeerShape = MatmulShape | Conv2dShape | AttentionShape | GroupNormShape | LayerNormShape;

/** Layouts are ours: pictures are NHWC, convolution weights [kh, kw, cin, cout], tokens [batch, length, width]. */
export interface Problem {
  shape: PeerShape;
  bench: BenchCase;
  /** In the order in which the benchmark makes them: see `inputsOf`. */
  inputs: Float32Array[];
  /** One element of the right result, in float64. */
  reference: Reference;
}

const PEER_OPS: readonly string[] = ["matmul", "conv2d", "attention", "groupnorm", "layernorm"];

/** @throws Error for a shape that the quick list has not */
export function problemOf(shape: Shape): Problem {
  const bench = benchOf(shape);
  if (!bench || !PEER_OPS.includes(shape.op)) throw new Error(`peers: ${shape.op} is not compared`);
  if (shape.op === "conv2d" && (shape.stride !== 1 || 2 * shape.pad !== shape.k - 1))
    throw new Error(`peers: only convolutions that keep the size are compared, got ${bench.op} with pad ${shape.pad}`);
  if (shape.op === "attention" && shape.causal) throw new Error("peers: causal attention is not compared");
  const inputs: Float32Array[] = [];
  const { reference } = bench.prepare((values) => {
    inputs.push(values as Float32Array);
    return undefined as unknown as Tensor; // the op itself is not run here
  }, "float32");
  return { shape: shape as PeerShape, bench, inputs, reference };
}

/** A problem's inputs by name. Without a bias, `bias` is undefined. */
export const inputsOf = {
  matmul: ([x, w, bias]: Float32Array[]) => ({ x, w, bias: bias as Float32Array | undefined }),
  conv2d: ([x, bias, w]: Float32Array[]) => ({ x, w, bias }),
  attention: ([q, k, v]: Float32Array[]) => ({ q, k, v }),
  norm: ([x, weight, bias]: Float32Array[]) => ({ x, weight, bias }),
};

/** Numbers of an input and their shape. */
export type Shaped = [values: Float32Array, shape: number[]];

/** One way to compute an op from arrays of a library. */
export interface Formula<A> {
  name: string;
  inputs: Shaped[];
  f: (...inputs: A[]) => A;
  /** From its layout to ours. */
  back?: (y: Float32Array) => Float32Array;
}

/** A problem's inputs in the order and the layouts in which several libraries take them. */
export const shapedInputs = {
  matmul({ M, N, K }: MatmulShape, inputs: Float32Array[]): Shaped[] {
    const { x, w, bias } = inputsOf.matmul(inputs);
    const given: Shaped[] = [
      [x, [M, K]],
      [w, [K, N]],
    ];
    return bias ? [...given, [bias, [N]]] : given;
  },
  attention({ B, heads, Lq, Lk, D }: AttentionShape, inputs: Float32Array[]): Shaped[] {
    const { q, k, v } = inputsOf.attention(inputs);
    return [
      [q, [B, Lq, heads, D]],
      [k, [B, Lk, heads, D]],
      [v, [B, Lk, heads, D]],
    ];
  },
  /** Heads before tokens, which products of matrices want. */
  attentionByHeads(shape: AttentionShape, inputs: Float32Array[]): Shaped[] {
    return shapedInputs.attention(shape, inputs).map(([values, [B, L, heads, D]]) => {
      return [permute(values, [B, L, heads, D], [0, 2, 1, 3]), [B, heads, L, D]];
    });
  },
  /** NCHW, a group as one row. */
  groupnorm({ N, C, HW, groups }: GroupNormShape, inputs: Float32Array[]): Shaped[] {
    const { x, weight, bias } = inputsOf.norm(inputs);
    return [
      [permute(x, [N, HW, C], [0, 2, 1]), [N, groups, (C / groups) * HW]],
      [weight, [C, 1]],
      [bias, [C, 1]],
    ];
  },
  layernorm({ rows, C }: LayerNormShape, inputs: Float32Array[]): Shaped[] {
    const { x, weight, bias } = inputsOf.norm(inputs);
    return [
      [x, [rows, C]],
      [weight, [C]],
      [bias, [C]],
    ];
  },
};

/** Results in those layouts, in ours again. */
export const backFrom = {
  attentionByHeads: ({ B, heads, Lq, D }: AttentionShape, y: Float32Array) =>
    permute(y, [B, heads, Lq, D], [0, 2, 1, 3]),
  groupnorm: ({ N, C, HW }: GroupNormShape, y: Float32Array) => permute(y, [N, C, HW], [0, 2, 1]),
};

/** A copy of a row-major array with its axes in another order, as numpy.transpose: axis i of the result is `order[i]` of x. */
export function permute(x: Float32Array, shape: readonly number[], order: readonly number[]): Float32Array {
  const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((a, b) => a * b, 1));
  const [sizes, steps] = [order.map((axis) => shape[axis]), order.map((axis) => strides[axis])];
  const y = new Float32Array(x.length);
  let at = 0;
  const walk = (axis: number, from: number): void => {
    const last = axis === sizes.length - 1;
    for (let i = 0, source = from; i < sizes[axis]; i++, source += steps[axis])
      if (last) y[at++] = x[source];
      else walk(axis + 1, source);
  };
  walk(0, 0);
  return y;
}
