import { dynamicThreshold as kernel } from "../../../kernels/dynamic_threshold.wgsl.js";
import { Tensor } from "../tensor.js";

/**
 * Dynamic thresholding (Saharia et al. 2022, section 2.3), as `_threshold_sample` of diffusers' schedulers: per sample,
 * s = the `ratio` quantile of |x| (linear interpolation, as torch.quantile), kept within [1, max];
 * the result is clamp(x, -s, s) / s.
 *
 * @param x float32 [batch, …]
 */
export function dynamicThreshold(x: Tensor, { ratio, max }: { ratio: number; max: number }): Tensor {
  if (x.dtype !== "float32") throw new TypeError(`dynamicThreshold: takes float32, got ${String(x)}`);
  if (!(ratio >= 0 && ratio <= 1)) throw new RangeError(`dynamicThreshold: the ratio must be in [0, 1], got ${ratio}`);
  const batch = x.shape[0] ?? 1;
  const width = x.size / batch;
  // In float32, as torch computes the rank; torch.clamp lets the upper bound win where the bounds cross.
  const position = Math.fround(Math.fround(ratio) * (width - 1));
  const rank = Math.floor(position);
  const y = Tensor.empty(x.device, x.shape, x.dtype);
  x.device.run({
    kernel,
    variant: {},
    values: { width, rank, weight: position - rank, low: Math.min(1, max), high: max },
    buffers: [x, y],
    grid: [batch],
    flops: 40 * x.size,
  });
  return y;
}
