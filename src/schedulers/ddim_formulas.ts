/** The update of DDIM (Song et al. 2020, arXiv 2010.02502), formulas (12) and (16). */
import type { Tensor } from "../tensor/tensor.js";
import { boundedX0, isBounded, linear, predictEpsilon, predictX0, type ClipConfig } from "./prediction.js";
import type { StepResult } from "./scheduler.js";

export interface DDIMUpdate {
  /** ᾱ at the present timestep and at the next one. */
  alpha: number;
  alphaPrevious: number;
  predictionType: string;
  clip: ClipConfig;
  /** Weight of the noise; with 1 this is DDPM. */
  eta?: number;
  useClippedModelOutput?: boolean;
  /** Makes the noise where eta asks for it. Without, only the room that it would take is left. */
  noise?: () => Tensor;
}

/** One step. Tensors that it makes on the way are the caller's scope's. */
export function ddimUpdate(
  className: string,
  { alpha, alphaPrevious, predictionType, clip, eta = 0, useClippedModelOutput = false, noise }: DDIMUpdate,
  modelOutput: Tensor,
  sample: Tensor,
): Required<Pick<StepResult, "prevSample" | "predOriginalSample">> {
  const variance = ((1 - alphaPrevious) / (1 - alpha)) * (1 - alpha / alphaPrevious);
  const std = eta * Math.sqrt(variance);
  const rates = { alpha: Math.sqrt(alpha), sigma: Math.sqrt(1 - alpha), bounded: isBounded(clip) };
  const x0 = predictX0(className, predictionType, modelOutput, sample, rates);
  const predOriginalSample = boundedX0(x0, clip);
  const used = isBounded(clip) ? linear(predOriginalSample) : x0;
  const epsilon = useClippedModelOutput
    ? linear(sample)
        .plus(used, -rates.alpha)
        .times(1 / rates.sigma)
    : predictEpsilon(className, predictionType, modelOutput, sample, rates);
  let previous = used
    .times(Math.sqrt(alphaPrevious))
    .plus(epsilon, Math.sqrt(Math.max(0, 1 - alphaPrevious - std ** 2)));
  if (eta > 0 && noise) previous = previous.plus(noise(), std);
  return { prevSample: previous.toTensor(), predOriginalSample };
}
