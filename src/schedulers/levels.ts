/** Points of a schedule as the exponential integrators see them, and what they make of a model's output there. */
import type { Tensor } from "../tensor/tensor.js";
import { Linear } from "./linear.js";
import {
  boundedX0,
  linear,
  predictEpsilon,
  predictX0,
  USUAL_PREDICTIONS,
  type ClipConfig,
  type Prediction,
} from "./prediction.js";

const f32 = Math.fround;

/** A point of the schedule: x = alpha x0 + sigma noise, lambda = ln(alpha / sigma). */
export interface Level {
  alpha: number;
  sigma: number;
  lambda: number;
}

/**
 * In float32 as in diffusers: where two levels are next to equal, their distance is nothing but rounding, and an SDE
 * solver would make noise of it.
 */
export function levelOf(alpha: number, sigma: number): Level {
  const level = { alpha: f32(alpha), sigma: f32(sigma) };
  return { ...level, lambda: f32(f32(Math.log(level.alpha)) - f32(Math.log(level.sigma))) };
}

/** The level of a training timestep. @param alphaCumprod ᾱ, float32 */
export const levelAt = (alphaCumprod: number): Level =>
  levelOf(Math.sqrt(alphaCumprod), Math.sqrt(f32(1 - alphaCumprod)));

export interface Conversion {
  predictionType: string;
  /** How x is made of x0 and noise there. */
  alpha: number;
  sigma: number;
  clip: ClipConfig;
  known?: readonly Prediction[];
}

/** x0, thresholded where the config says so. */
export function convertToX0(
  className: string,
  { predictionType, alpha, sigma, clip, known }: Conversion,
  modelOutput: Tensor,
  sample: Tensor,
): Linear {
  const guess = predictX0(className, predictionType, modelOutput, sample, { alpha, sigma, known });
  return clip.thresholding ? linear(boundedX0(guess, clip)) : guess;
}

/** The noise; with thresholding, that which goes with the thresholded x0. */
export function convertToEpsilon(
  className: string,
  { predictionType, alpha, sigma, clip, known = USUAL_PREDICTIONS }: Conversion,
  modelOutput: Tensor,
  sample: Tensor,
): Linear {
  const guess = predictEpsilon(className, predictionType, modelOutput, sample, { alpha, sigma, known });
  if (!clip.thresholding) return guess;
  const x0 = boundedX0(
    Linear.of(sample)
      .plus(guess, -sigma)
      .times(1 / alpha),
    clip,
  );
  return Linear.of(sample)
    .plus(x0, -alpha)
    .times(1 / sigma);
}
