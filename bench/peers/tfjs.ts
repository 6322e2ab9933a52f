/** TensorFlow.js: its fused ops where it has them. Its layout is ours. */
import type { Tensor as TFTensor } from "@tensorflow/tfjs-core";
import type { Library, Way } from "./library.js";
import { inputsOf, shapedInputs, type Problem, type Shaped } from "./problem.js";

type TF = typeof import("@tensorflow/tfjs-core");

/** What is read of its backend. */
interface Backend {
  device: GPUDevice;
  /** Null while nothing is recorded, when submitQueue fails. */
  commandEncoder: GPUCommandEncoder | null;
  endComputePassEncoder(): void;
  submitQueue(): void;
}

export async function openTfjs(): Promise<Library> {
  const tf = await import("@tensorflow/tfjs-core");
  await import("@tensorflow/tfjs-backend-webgpu");
  tf.env().set("WEBGPU_CPU_FORWARD", false); // small tensors too are computed on the GPU
  if (!(await tf.setBackend("webgpu"))) throw new Error("tfjs cannot make its WebGPU backend");
  await tf.ready();
  const backend = tf.backend() as unknown as Backend;
  const ways = async (problem: Problem): Promise<Way[]> => {
    const { name, inputs, f } = formula(tf, problem);
    const tensors = inputs.map(([values, shape]) => tf.tensor(values, [...shape], "float32"));
    const call = (): TFTensor => tf.tidy(() => f(...tensors));
    const result = async (): Promise<ArrayLike<number>> => {
      const y = call();
      try {
        return await y.data();
      } finally {
        y.dispose();
      }
    };
    const dispose = (): void => tensors.forEach((tensor) => tensor.dispose());
    return [{ name, result, run: () => call().dispose(), dispose }];
  };
  const flush = (): void => {
    if (!backend.commandEncoder) return;
    backend.endComputePassEncoder();
    backend.submitQueue();
  };
  return { name: "tfjs", version: "", device: backend.device, ways, flush, close: () => undefined };
}

interface Formula {
  name: string;
  inputs: Shaped[];
  f: (...inputs: TFTensor[]) => TFTensor;
}

function formula(tf: TF, { shape, inputs }: Problem): Formula {
  switch (shape.op) {
    case "matmul":
      return {
        name: "fused.matMul",
        inputs: shapedInputs.matmul(shape, inputs),
        f: (a, b, bias) => tf.fused.matMul({ a, b, bias }),
      };
    case "conv2d": {
      const { N, H, W, Cin, Cout, k } = shape;
      const { x, w, bias } = inputsOf.conv2d(inputs);
      return {
        name: "fused.conv2d",
        inputs: [
          [x, [N, H, W, Cin]],
          [w, [k, k, Cin, Cout]],
          [bias, [Cout]],
        ],
        f: (x, filter, bias) => tf.fused.conv2d({ x, filter, bias, strides: 1, pad: "same" }),
      };
    }
    case "attention": {
      const { D, causal } = shape;
      if (causal) throw new Error("tfjs: causal attention is not compared");
      const split = (x: TFTensor): TFTensor => tf.transpose(x, [0, 2, 1, 3]);
      return {
        name: "matMul, softmax, matMul",
        inputs: shapedInputs.attention(shape, inputs),
        f: (q, k, v) => {
          const scores = tf.matMul(tf.mul(split(q), 1 / Math.sqrt(D)), split(k), false, true);
          return split(tf.matMul(tf.softmax(scores), split(v)));
        },
      };
    }
    case "groupnorm": {
      const { N, C, HW, groups, eps, silu } = shape;
      const { x, weight, bias } = inputsOf.norm(inputs);
      return {
        name: "moments",
        inputs: [
          [x, [N, HW, groups, C / groups]],
          [weight, [C]],
          [bias, [C]],
        ],
        f: (x, weight, bias) => {
          const standard = tf.reshape(standardize(tf, x, [1, 3], eps), [N, HW, C]);
          const y = tf.add(tf.mul(standard, weight), bias);
          return silu ? tf.mul(y, tf.sigmoid(y)) : y;
        },
      };
    }
    case "layernorm": {
      const { eps } = shape;
      return {
        name: "moments",
        inputs: shapedInputs.layernorm(shape, inputs),
        f: (x, weight, bias) => tf.add(tf.mul(standardize(tf, x, [1], eps), weight), bias),
      };
    }
  }
}

function standardize(tf: TF, x: TFTensor, axes: number[], eps: number): TFTensor {
  const { mean, variance } = tf.moments(x, axes, true);
  return tf.mul(tf.sub(x, mean), tf.rsqrt(tf.add(variance, eps)));
}
