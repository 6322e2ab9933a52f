/** From what a model draws to what a call returns. */
import type { Device } from "../../tensor/device.js";
import { toNHWC } from "../../tensor/ops/copy.js";
import { linearCombination } from "../../tensor/ops/elementwise.js";
import { Tensor } from "../../tensor/tensor.js";
import { RawImage } from "../images/raw_image.js";
import type { FiniteCheck, Place } from "./finite_check.js";
import type { Inspector } from "./safety.js";

/** "image" (RawImage; "pil" is the same), "np" (Tensor NHWC in [0, 1]) or "pt" (Tensor NCHW in [0, 1]). */
export type ImageOutputType = "image" | "pil" | "np" | "pt";

/** Who has a say before pictures are returned. */
export interface OutputChecks {
  /** Looks at what `module` has drawn. */
  check: FiniteCheck;
  module: Place["module"];
  signals: readonly (AbortSignal | undefined)[];
  inspect?: Inspector | null;
}

/** Pictures, and which of them are black because of what was in them; null where nobody looked. */
export interface Inspected<Images = RawImage[] | Tensor> {
  images: Images;
  flagged: boolean[] | null;
}

/**
 * Pictures of a pipeline's output type.
 * @param draw gives [batch, channels, height, width] in [-1, 1] (what lies outside is clamped); tensors made in it are freed
 * @returns images: a Tensor, which the caller disposes, for "np" and "pt"
 * @throws NumericalError where any number on the way here was infinite or NaN; the reason of a signal, before drawing or after
 */
export async function outputImages(
  device: Device,
  draw: () => Tensor,
  outputType: ImageOutputType,
  { check, module, signals, inspect = null }: OutputChecks,
): Promise<Inspected> {
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
    const isTensor = outputType === "np" || outputType === "pt";
    if (isTensor && !inspect) {
      await check.expectFinite();
      stopIfAborted();
      return { images: (kept = images), flagged: null };
    }
    // One wait for both: browsers may take a tenth of a second for each.
    const [values] = await Promise.all([images.data(), check.expectFinite()]);
    stopIfAborted();
    const pictures = outputType === "pt" ? ofPlanes(values, images.shape) : RawImage.fromUnit(values, images.shape);
    const flagged = (await inspect?.(pictures)) ?? null;
    stopIfAborted();
    if (!isTensor) return { images: pictures.map((picture, i) => (flagged?.[i] ? black(picture) : picture)), flagged };
    kept = flagged?.includes(true) ? blackened(images, values, flagged) : images;
    return { images: kept, flagged };
  } finally {
    if (kept !== images) images.dispose();
  }
}

const black = ({ width, height, channels, data }: RawImage): RawImage =>
  new RawImage(width, height, new Uint8ClampedArray(data.length), channels);

/** The same without the pictures that are flagged. */
function blackened({ shape, dtype, device }: Tensor, values: ArrayLike<number>, flagged: readonly boolean[]): Tensor {
  const size = values.length / flagged.length;
  const kept = Float32Array.from(values, (value, i) => (flagged[Math.floor(i / size)] ? 0 : value));
  return Tensor.from(kept, shape, { dtype, device });
}

/** As RawImage.fromUnit of numbers [batch, channels, height, width]. */
function ofPlanes(values: ArrayLike<number>, [batch, channels, height, width]: readonly number[]): RawImage[] {
  const pixels = height * width;
  const byPixel = Float32Array.from({ length: values.length }, (_, i) => {
    const [image, within] = [Math.floor(i / channels / pixels), i % (channels * pixels)];
    return values[(image * channels + (within % channels)) * pixels + Math.floor(within / channels)];
  });
  return RawImage.fromUnit(byPixel, [batch, height, width, channels]);
}
