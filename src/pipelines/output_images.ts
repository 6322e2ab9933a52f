/** From what a model draws to what a call returns. */
import type { Device } from "../tensor/device.js";
import { toNHWC } from "../tensor/ops/copy.js";
import { linearCombination } from "../tensor/ops/elementwise.js";
import type { Tensor } from "../tensor/tensor.js";
import type { FiniteCheck, Place } from "./finite_check.js";
import { RawImage } from "./raw_image.js";

/** "image" (RawImage; "pil" is the same), "np" (Tensor NHWC in [0, 1]) or "pt" (Tensor NCHW in [0, 1]). */
export type ImageOutputType = "image" | "pil" | "np" | "pt";

/** Who has a say before pictures are returned. */
export interface OutputChecks {
  /** Looks at what `module` has drawn. */
  check: FiniteCheck;
  module: Place["module"];
  signals: readonly (AbortSignal | undefined)[];
}

/**
 * Pictures of a pipeline's output type.
 * @param draw gives [batch, channels, height, width] in [-1, 1] (what lies outside is clamped); tensors made in it are freed
 * @returns a Tensor, which the caller disposes, for "np" and "pt"
 * @throws NumericalError where any number on the way here was infinite or NaN; the reason of a signal, before drawing or after
 */
export async function outputImages(
  device: Device,
  draw: () => Tensor,
  outputType: ImageOutputType,
  { check, module, signals }: OutputChecks,
): Promise<RawImage[] | Tensor> {
  const stopIfAborted = (): void => signals.forEach((signal) => signal?.throwIfAborted());
  stopIfAborted();
  const images = device.scope(() => {
    const drawn = draw();
    check.look(drawn, { module });
    // In the VAE's dtype, which may be the smaller one: the plan that drew it still holds its memory.
    const ordered = outputType === "pt" ? drawn : toNHWC(drawn);
    return linearCombination([[0.5, ordered]], { offset: 0.5, clamp: [0, 1] });
  });
  let kept: Tensor | undefined;
  try {
    if (outputType === "np" || outputType === "pt") {
      await check.expectFinite();
      stopIfAborted();
      return (kept = images);
    }
    // One wait for both: browsers may take a tenth of a second for each.
    const [values] = await Promise.all([images.data(), check.expectFinite()]);
    stopIfAborted();
    return RawImage.fromUnit(values, images.shape);
  } finally {
    if (!kept) images.dispose();
  }
}
