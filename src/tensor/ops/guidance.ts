/** Classifier-free guidance. */
import { guidanceRescale as kernel } from "../../../kernels/guidance_rescale.wgsl.js";
import { product } from "../dtype.js";
import { Tensor } from "../tensor.js";
import { sameShape } from "./common.js";
import { slice } from "./copy.js";
import { linearCombination } from "./elementwise.js";

export interface GuidanceOptions {
  scale: number;
  /** 0 to 1: how much of the conditional prediction's standard deviation to restore (Lin et al. 2023, section 3.4). */
  rescale?: number;
}

/**
 * u + scale * (c - u) (Ho & Salimans 2022), optionally rescaled.
 * @param prediction [2 * batch, ...]: the unconditional predictions, then the conditional ones
 * @returns [batch, ...]
 */
export function guide(prediction: Tensor, { scale, rescale = 0 }: GuidanceOptions): Tensor {
  return prediction.device.scope(() => {
    const batch = prediction.shape[0] / 2;
    const unconditional = slice(prediction, 0, 0, batch);
    const conditional = slice(prediction, 0, batch, batch);
    const guided = linearCombination([
      [1 - scale, unconditional],
      [scale, conditional],
    ]);
    return rescale > 0 ? rescaleGuidance(guided, conditional, rescale) : guided;
  });
}

export interface EditGuidanceOptions extends GuidanceOptions {
  /** How strongly the picture counts. */
  imageScale: number;
}

/**
 * u + imageScale * (p - u) + scale * (c - p) (Brooks et al. 2023, InstructPix2Pix, equation 3), optionally rescaled.
 * @param prediction [3 * batch, ...]: the predictions c with prompt and picture, p with the picture alone, u with neither
 * @returns [batch, ...]
 */
export function guideEdit(prediction: Tensor, { scale, imageScale, rescale = 0 }: EditGuidanceOptions): Tensor {
  return prediction.device.scope(() => {
    const batch = prediction.shape[0] / 3;
    const [both, picture, neither] = [0, 1, 2].map((branch) => slice(prediction, 0, branch * batch, batch));
    const guided = linearCombination([
      [scale, both],
      [imageScale - scale, picture],
      [1 - imageScale, neither],
    ]);
    return rescale > 0 ? rescaleGuidance(guided, both, rescale) : guided;
  });
}

/** Both float32 of one shape [batch, ...], each image a multiple of 4 numbers. */
function rescaleGuidance(guided: Tensor, conditional: Tensor, rescale: number): Tensor {
  sameShape("rescaleGuidance", guided, conditional);
  const perImage = product(guided.shape.slice(1));
  if (guided.dtype !== "float32" || perImage % 4 !== 0)
    throw new TypeError(`rescaleGuidance: takes float32 images of a multiple of 4 numbers, got ${String(guided)}`);
  const y = Tensor.empty(guided.device, guided.shape, "float32");
  const values = { quads: perImage / 4, rescale };
  guided.device.run({ kernel, variant: {}, values, buffers: [guided, conditional, y], grid: [guided.shape[0]] });
  return y;
}
