import { phaseWeights as kernel } from "../../../kernels/phase_weights.wgsl.js";
import { Tensor } from "../tensor.js";
import { formatFor, quadsOf } from "./common.js";
import { runStream } from "./streams.js";

/**
 * The weights with which conv2d computes an upsampled 3x3 convolution in four phases. Made on the
 * first call and kept with `w`, of which they take 16/9 of the memory.
 * @param w [3, 3, cin, cout]; cout fills quads
 * @returns [phase y · 2 + phase x, 2, 2, cin, cout], summed in float32 and rounded once
 */
export function phaseWeights(w: Tensor): Tensor {
  return w.memo(phaseWeights, () => {
    const { device, dtype } = w;
    const [, , cin, cout] = w.shape;
    const y = Tensor.empty(device, [4, 2, 2, cin, cout], dtype);
    runStream(device, quadsOf(y), {
      kernel,
      variant: { format: formatFor("phaseWeights", w) },
      values: { cin, cout },
      buffers: [w, y],
    });
    return [y];
  })[0];
}
