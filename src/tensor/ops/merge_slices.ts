import type { Activation } from "../../../kernels/activation.js";
import { mergeSlices as kernel, TERMS, type Term } from "../../../kernels/merge_slices.wgsl.js";
import type { Format } from "../../../kernels/wgsl.js";
import type { Place } from "../columns.js";
import type { Region } from "../part.js";
import type { Tensor } from "../tensor.js";
import { quadsOf } from "./common.js";
import { runStream } from "./streams.js";

export interface MergeOptions {
  format: Format;
  activation: Activation;
  /** What is added, as the kernel says. */
  terms: Partial<Record<Exclude<Term, "shift">, Region | null>> & { shift?: Place };
  /** Rows of one image: those that share a row of the shift. */
  rows?: number;
}

/** Adds up the sums of slices, [slices, rows, N] in float32, finishes them as `y`, [..., N], and disposes them. */
export function mergeSlices(sums: Tensor, y: Region, { format, activation, terms, rows = 1 }: MergeOptions): void {
  const [slices, , n] = sums.shape;
  const present = TERMS.filter((term) => terms[term]);
  runStream(y.device, quadsOf(y), {
    kernel,
    variant: { format, activation, terms: present },
    values: {
      slices,
      columns: n / 4,
      rows,
      shift_stride: terms.shift?.stride ?? 0,
      shift_start: terms.shift?.start ?? 0,
    },
    buffers: [sums, y, ...present.map((term) => (term === "shift" ? terms.shift!.tensor : terms[term]!))],
  });
  sums.dispose();
}
