import { phaseWeights as kernel } from "../../../kernels/phase_weights.wgsl.js";
import { Tensor } from "../tensor.js";
import { formatFor, quadsOf } from "./common.js";
import { runStream } from "./streams.js";

/**
 * Bytes up to which CPU adapters keep them. Larger ones are made in each run, for less than a hundredth of the convolution's time
 * there, and take memory only while it runs.
 */
const MOST_KEPT = 2 ** 20;

/**
 * The weights with which conv2d computes an upsampled 3x3 convolution in four phases (PERFORMANCE.md section 2.3). They take
 * 16/9 of the memory of `w`.
 * @param w [3, 3, cin, cout]; cout fills quads
 * @returns weights: [phase y · 2 + phase x, 2, 2, cin, cout], summed in float32 and rounded once; kept: they stay with `w`,
 *   else they are the caller's
 */
export function phaseWeights(w: Tensor): { weights: Tensor; kept: boolean } {
  const kept = !w.device.isSoftware || phaseBytes(w) <= MOST_KEPT;
  return { weights: kept ? w.memo(phaseWeights, () => [make(w)])[0] : make(w), kept };
}

export const phaseBytes = (w: Tensor): number => (w.bytes / 9) * 16;

function make(w: Tensor): Tensor {
  const { device, dtype } = w;
  const [, , cin, cout] = w.shape;
  const y = Tensor.empty(device, [4, 2, 2, cin, cout], dtype);
  runStream(device, quadsOf(y), {
    kernel,
    variant: { format: formatFor("phaseWeights", w) },
    values: { cin, cout },
    buffers: [w, y],
  });
  return y;
}
