/** From what a model draws to what a call returns. */
import type { Device } from "../tensor/device.js";
import { toNHWC } from "../tensor/ops/copy.js";
import { linearCombination } from "../tensor/ops/elementwise.js";
import type { Tensor } from "../tensor/tensor.js";
import { RawImage } from "./raw_image.js";

/** "image" (RawImage; "pil" is the same), "np" (Tensor NHWC in [0, 1]) or "pt" (Tensor NCHW in [0, 1]). */
export type ImageOutputType = "image" | "pil" | "np" | "pt";

/**
 * Pictures of a pipeline's output type.
 * @param draw gives [batch, channels, height, width] in [-1, 1] (what lies outside is clamped); tensors made in it are freed
 * @returns a Tensor, which the caller disposes, for "np" and "pt"
 */
export async function outputImages(
  device: Device,
  draw: () => Tensor,
  outputType: ImageOutputType,
): Promise<RawImage[] | Tensor> {
  const images = device.scope(() => {
    const unit = linearCombination([[0.5, draw()]], { offset: 0.5, clamp: [0, 1] });
    return outputType === "pt" ? unit : toNHWC(unit);
  });
  if (outputType === "np" || outputType === "pt") {
    await device.synchronize();
    return images;
  }
  try {
    return RawImage.fromUnit(await images.data(), images.shape);
  } finally {
    images.dispose();
  }
}
