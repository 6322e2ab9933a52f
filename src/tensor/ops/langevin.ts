import { langevin as kernel } from "../../../kernels/langevin.wgsl.js";
import { sampleNorms } from "../../../kernels/sample_norms.wgsl.js";
import { Tensor } from "../tensor.js";
import { quadsOf, sameShape } from "./common.js";
import { runStream } from "./streams.js";

/**
 * One corrector step of annealed Langevin dynamics: the step size makes the score `strength` long on average,
 * s = 2 (strength / mean over the batch of |score|)², and the result is x + s score + √(2 s) noise.
 * All tensors are float32 of one shape; nothing is read back.
 */
export function langevin(x: Tensor, score: Tensor, noise: Tensor, strength: number): Tensor {
  sameShape("langevin", x, score);
  sameShape("langevin", x, noise);
  for (const tensor of [x, score, noise])
    if (tensor.dtype !== "float32") throw new TypeError(`langevin: takes float32, got ${String(tensor)}`);
  const { device } = x;
  const batch = x.shape[0] ?? 1;
  const norms = Tensor.empty(device, [batch], "float32");
  device.run({
    kernel: sampleNorms,
    variant: {},
    values: { width: x.size / batch },
    buffers: [score, norms],
    grid: [batch],
  });
  const y = Tensor.empty(device, x.shape, "float32");
  runStream(device, quadsOf(x), {
    kernel,
    variant: {},
    values: { batch, strength },
    buffers: [x, score, noise, norms, y],
  });
  norms.dispose();
  return y;
}
