import { maskedMix as kernel } from "../../../kernels/masked_mix.wgsl.js";
import { Tensor } from "../tensor.js";
import { expectShape, formatFor, quadsOf, sameShape } from "./common.js";
import { runStream } from "./streams.js";

/**
 * (1 - mask) * a + mask * x, both [batch, channels, height, width].
 * @param mask [batch, 1, height, width], 0 to 1
 */
export function maskedMix(a: Tensor, x: Tensor, mask: Tensor): Tensor {
  sameShape("maskedMix", a, x);
  const [batch, channels, height, width] = x.shape;
  expectShape("maskedMix", "the mask", mask, [batch, 1, height, width]);
  const y = Tensor.empty(x.device, x.shape, x.dtype);
  const plane = height * width;
  runStream(x.device, quadsOf(y), {
    kernel,
    variant: { format: formatFor("maskedMix", a, x, mask) },
    values: { size: y.size, plane, sample: channels * plane },
    buffers: [a, x, mask, y],
  });
  return y;
}
