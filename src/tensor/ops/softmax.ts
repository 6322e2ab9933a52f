import { softmax as kernel, WORKGROUP_SIZE } from "../../../kernels/softmax.wgsl.js";
import type { Tensor } from "../tensor.js";
import { foldedGrid } from "./common.js";

/** Numbers of a row from which a GPU is sooner done with a workgroup for it than with a thread. */
const LONG_ROW = 128;

export interface SoftmaxOptions {
  /** Columns that are scores, of `width`. */
  valid: number;
  /** How many columns the first row of a head may see, one more the next: a causal mask. */
  first: number;
  /** Rows of a head. */
  period: number;
  scale: number;
}

/**
 * Weights of attention, as kernels/softmax.wgsl.ts says.
 * @param scores [..., width] in float32, width % 4 === 0
 * @param weights [..., width + 4] in float32: behind the weights of a row lies 1 / their sum
 */
export function softmax(scores: Tensor, weights: Tensor, options: SoftmaxOptions): void {
  const { device } = scores;
  const width = scores.shape.at(-1)!;
  const rows = scores.size / width;
  const by = device.isSoftware || width < LONG_ROW ? "thread" : "workgroup";
  device.run({
    kernel,
    variant: { format: "f32", by },
    values: { rows, width, ...options },
    buffers: [scores, weights],
    grid: by === "thread" ? [Math.ceil(rows / WORKGROUP_SIZE)] : foldedGrid(rows),
  });
}
