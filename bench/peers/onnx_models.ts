/** The ops as ONNX models, with weights as initializers, as an exporter writes them. Pictures are NCHW. */
import type { OnnxModel, OnnxNode, OnnxTensor, OnnxValue } from "./onnx.js";
import { backFrom, inputsOf, permute, shapedInputs, type Problem } from "./problem.js";

/** The result is called "y". */
export interface OneOp {
  name: string;
  model: OnnxModel;
  /** What is not a weight. */
  feeds: OnnxTensor[];
  /** From its layout to ours. */
  back?: (y: Float32Array) => Float32Array;
}

type Attributes = OnnxNode["attributes"];

/** A node with one result. */
const node = (op: string, inputs: readonly string[], output: string, attributes?: Attributes): OnnxNode => ({
  op,
  inputs,
  outputs: [output],
  attributes,
});

const tensor = (name: string, shape: readonly number[], values: OnnxTensor["values"]): OnnxTensor => ({
  name,
  shape,
  values,
});
const sizes = (name: string, shape: readonly number[]): OnnxTensor =>
  tensor(name, [shape.length], BigInt64Array.from(shape, BigInt));
const scalar = (name: string, value: number): OnnxTensor => tensor(name, [], Float32Array.of(value));

function model(nodes: OnnxNode[], feeds: OnnxTensor[], weights: OnnxTensor[], y: readonly number[]): OnnxModel {
  const inputs = feeds.map(({ name, shape }): OnnxValue => ({ name, shape }));
  return { nodes, inputs, outputs: [{ name: "y", shape: y }], initializers: weights };
}

export function oneOpModels({ shape, inputs }: Problem): OneOp[] {
  switch (shape.op) {
    case "matmul": {
      const { M, N, K } = shape;
      const { x, w, bias } = inputsOf.matmul(inputs);
      return [matmul(tensor("x", [M, K], x), tensor("w", [K, N], w), bias && tensor("b", [N], bias))];
    }
    case "conv2d": {
      const { N, H, W, Cin, Cout, k, pad } = shape;
      const { x, w, bias } = inputsOf.conv2d(inputs);
      const feeds = [tensor("x", [N, Cin, H, W], permute(x, [N, H * W, Cin], [0, 2, 1]))];
      const weights = [
        tensor("w", [Cout, Cin, k, k], permute(w, [k * k, Cin, Cout], [2, 1, 0])),
        tensor("b", [Cout], bias),
      ];
      const conv = node("Conv", ["x", "w", "b"], "y", { kernel_shape: [k, k], pads: [pad, pad, pad, pad] });
      const back = (y: Float32Array): Float32Array => permute(y, [N, Cout, H * W], [0, 2, 1]);
      const ways = [{ name: "Conv", model: model([conv], feeds, weights, [N, Cout, H, W]), feeds, back }];
      if (k > 1) return ways;
      const [pixels, matrix] = [tensor("x", [N * H * W, Cin], x), tensor("w", [Cin, Cout], w)];
      return [...ways, matmul(pixels, matrix, tensor("b", [Cout], bias))];
    }
    case "attention":
      return attention(shape, inputs);
    case "groupnorm": {
      const { N, C, HW, groups, eps, silu } = shape;
      const { x, weight, bias } = inputsOf.norm(inputs);
      const feeds = [tensor("x", [N, C, HW], permute(x, [N, HW, C], [0, 2, 1]))];
      const ones = new Float32Array(groups).fill(1);
      const weights = [
        sizes("grouped", [N, groups, -1]),
        sizes("whole", [N, C, HW]),
        tensor("one", [groups], ones),
        tensor("zero", [groups], new Float32Array(groups)),
        tensor("weight", [C, 1], weight),
        tensor("bias", [C, 1], bias),
      ];
      const last = silu ? "normed" : "y";
      const nodes = [
        node("Reshape", ["x", "grouped"], "g"),
        node("InstanceNormalization", ["g", "one", "zero"], "n", { epsilon: { float: eps } }),
        node("Reshape", ["n", "whole"], "standard"),
        node("Mul", ["standard", "weight"], "scaled"),
        node("Add", ["scaled", "bias"], last),
        ...(silu ? [node("Sigmoid", ["normed"], "s"), node("Mul", ["normed", "s"], "y")] : []),
      ];
      const back = (y: Float32Array): Float32Array => backFrom.groupnorm(shape, y);
      return [{ name: "InstanceNormalization", model: model(nodes, feeds, weights, [N, C, HW]), feeds, back }];
    }
    case "layernorm": {
      const { rows, C, eps } = shape;
      const { x, weight, bias } = inputsOf.norm(inputs);
      const feeds = [tensor("x", [rows, C], x)];
      const weights = [tensor("weight", [C], weight), tensor("bias", [C], bias)];
      const norm = node("LayerNormalization", ["x", "weight", "bias"], "y", { axis: 1, epsilon: { float: eps } });
      return [{ name: norm.op, model: model([norm], feeds, weights, [rows, C]), feeds }];
    }
  }
}

function matmul(x: OnnxTensor, w: OnnxTensor, bias?: OnnxTensor): OneOp {
  const product = node("MatMul", ["x", "w"], bias ? "p" : "y");
  const nodes = bias ? [product, node("Add", ["p", "b"], "y")] : [product];
  const y = [x.shape[0], w.shape[1]];
  return { name: "MatMul", model: model(nodes, [x], bias ? [w, bias] : [w], y), feeds: [x] };
}

/** The fused operator, and the same as single ops: the fused one is wrong on some adapters. */
function attention(shape: Extract<Problem["shape"], { op: "attention" }>, inputs: Float32Array[]): OneOp[] {
  const { B, heads, Lq, Lk, D } = shape;
  const y = [B, Lq, heads * D];
  const tokens = shapedInputs
    .attention(shape, inputs)
    .map(([values, [, length]], i) => tensor("qkv"[i], [B, length, heads * D], values));
  const fused = {
    ...node("MultiHeadAttention", ["q", "k", "v"], "y", { num_heads: heads }),
    domain: "com.microsoft",
  };
  // MatMul takes keys as columns only; that is prepared, as the other libraries' layouts are.
  const [q, k, v] = shapedInputs.attentionByHeads(shape, inputs);
  const byHeads = [
    tensor("q", q[1], q[0]),
    tensor("kt", [B, heads, D, Lk], permute(k[0], k[1], [0, 1, 3, 2])),
    tensor("v", v[1], v[0]),
  ];
  const nodes = [
    node("Mul", ["q", "scale"], "qs"),
    node("MatMul", ["qs", "kt"], "scores"),
    node("Softmax", ["scores"], "weights", { axis: 3 }),
    node("MatMul", ["weights", "v"], "y"),
  ];
  const scale = scalar("scale", 1 / Math.sqrt(D));
  return [
    { name: fused.op, model: model([fused], tokens, [], y), feeds: tokens },
    {
      name: "MatMul, Softmax, MatMul",
      model: model(nodes, byHeads, [scale], [B, heads, Lq, D]),
      feeds: byHeads,
      back: (result) => backFrom.attentionByHeads(shape, result),
    },
  ];
}
