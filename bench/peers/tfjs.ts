/** TensorFlow.js on a device of its own. */
import type { Tensor as TFTensor } from "@tensorflow/tfjs-core";
import type { Library, Way } from "./library.js";
import type { Formula, Problem } from "./problem.js";
import { formulas } from "./tfjs_formulas.js";

export type TF = typeof import("@tensorflow/tfjs-core");

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
  const ways = async (problem: Problem): Promise<Way[]> => formulas(tf, problem).map((formula) => wayOf(tf, formula));
  const flush = (): void => {
    if (!backend.commandEncoder) return;
    backend.endComputePassEncoder();
    backend.submitQueue();
  };
  return { name: "tfjs", version: "", device: backend.device, ways, flush, close: () => undefined };
}

function wayOf(tf: TF, { name, inputs, f, back = (y) => y }: Formula<TFTensor>): Way {
  const tensors = inputs.map(([values, shape]) => tf.tensor(values, [...shape], "float32"));
  const call = (): TFTensor => tf.tidy(() => f(...tensors));
  return {
    name,
    async result() {
      const y = call();
      try {
        return back(await y.data());
      } finally {
        y.dispose();
      }
    },
    run: () => call().dispose(),
    dispose: () => tensors.forEach((tensor) => tensor.dispose()),
  };
}
