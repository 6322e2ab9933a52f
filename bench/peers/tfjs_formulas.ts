/** The ops by TensorFlow.js: its fused ones where it has them. Pictures are NHWC as ours; its means of adjacent axes are the faster ones. */
import type { Tensor as TFTensor } from "@tensorflow/tfjs-core";
import { backFrom, inputsOf, shapedInputs, type Formula, type Problem } from "./problem.js";
import type { TF } from "./tfjs.js";

export function formulas(tf: TF, { shape, inputs }: Problem): Formula<TFTensor>[] {
  switch (shape.op) {
    case "matmul":
      return [
        {
          name: "fused.matMul",
          inputs: shapedInputs.matmul(shape, inputs),
          f: (a, b, bias) => tf.fused.matMul({ a, b, bias }),
        },
      ];
    case "conv2d": {
      const { N, H, W, Cin, Cout, k } = shape;
      const { x, w, bias } = inputsOf.conv2d(inputs);
      return [
        {
          name: "fused.conv2d",
          inputs: [
            [x, [N, H, W, Cin]],
            [w, [k, k, Cin, Cout]],
            [bias, [Cout]],
          ],
          f: (x, filter, bias) => tf.fused.conv2d({ x, filter, bias, strides: 1, pad: "same" }),
        },
      ];
    }
    case "attention": {
      const { D } = shape;
      return [
        {
          name: "matMul, softmax, matMul",
          inputs: shapedInputs.attentionByHeads(shape, inputs),
          f: (q, k, v) => tf.matMul(tf.softmax(tf.matMul(tf.mul(q, 1 / Math.sqrt(D)), k, false, true)), v),
          back: (y) => backFrom.attentionByHeads(shape, y),
        },
      ];
    }
    case "groupnorm": {
      const { N, C, HW, groups, eps, silu } = shape;
      const { x, weight, bias } = inputsOf.norm(inputs);
      const norm =
        (axes: number[], sizes: number[]) =>
        (x: TFTensor, weight: TFTensor, bias: TFTensor): TFTensor => {
          const standard = tf.reshape(standardize(tf, x, axes, eps), sizes);
          const y = tf.add(tf.mul(standard, weight), bias);
          return silu ? tf.mul(y, tf.sigmoid(y)) : y;
        };
      return [
        {
          name: "moments, NHWC",
          inputs: [
            [x, [N, HW, groups, C / groups]],
            [weight, [C]],
            [bias, [C]],
          ],
          f: norm([1, 3], [N, HW, C]),
        },
        {
          name: "moments, NCHW",
          inputs: shapedInputs.groupnorm(shape, inputs),
          f: norm([2], [N, C, HW]),
          back: (y) => backFrom.groupnorm(shape, y),
        },
      ];
    }
    case "layernorm": {
      const { eps } = shape;
      return [
        {
          name: "moments",
          inputs: shapedInputs.layernorm(shape, inputs),
          f: (x, weight, bias) => tf.add(tf.mul(standardize(tf, x, [1], eps), weight), bias),
        },
      ];
    }
  }
}

function standardize(tf: TF, x: TFTensor, axes: number[], eps: number): TFTensor {
  const { mean, variance } = tf.moments(x, axes, true);
  return tf.mul(tf.sub(x, mean), tf.rsqrt(tf.add(variance, eps)));
}
