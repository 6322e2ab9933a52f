/** The update of DDPM (Ho et al. 2020, arXiv 2006.11239), formulas (6) and (7), with the variance that a config names. */
import { slice } from "../tensor/ops/copy.js";
import { learnedNoise } from "../tensor/ops/learned_noise.js";
import type { Tensor } from "../tensor/tensor.js";
import { checkShapes } from "./checks.js";
import { oneOf } from "./config.js";
import type { Linear } from "./linear.js";
import { boundedX0, isBounded, linear, predictX0, type ClipConfig } from "./prediction.js";
import type { StepResult } from "./scheduler.js";

const VARIANCES = [
  "fixed_small",
  "fixed_small_log",
  "fixed_large",
  "fixed_large_log",
  "learned",
  "learned_range",
] as const;
export type Variance = (typeof VARIANCES)[number];

export interface DDPMUpdate {
  /** ᾱ at the present timestep and at the next one. */
  alpha: number;
  alphaPrevious: number;
  predictionType: string;
  /** null, as in the files of DPM-Solver, is "fixed_small". */
  varianceType: string | null;
  clip: ClipConfig;
  /** Makes noise like a tensor; null for the last step, which adds none. */
  noise: ((like: Tensor) => Tensor) | null;
}

/** One step. Tensors that it makes on the way are the caller's scope's. */
export function ddpmUpdate(
  className: string,
  { alpha, alphaPrevious, predictionType, varianceType, clip, noise }: DDPMUpdate,
  modelOutput: Tensor,
  sample: Tensor,
): Required<Pick<StepResult, "prevSample" | "predOriginalSample">> {
  const ratio = alpha / alphaPrevious;
  const beta = 1 - ratio;
  const rates = { alpha: Math.sqrt(alpha), sigma: Math.sqrt(1 - alpha), bounded: isBounded(clip) };
  const [mean, learned] = splitOutput(varianceType, modelOutput, sample);
  checkShapes(className, mean, sample);
  const x0 = predictX0(className, predictionType, mean, sample, rates);
  const predOriginalSample = boundedX0(x0, clip);
  const used = isBounded(clip) ? linear(predOriginalSample) : x0;
  const x = used
    .times((Math.sqrt(alphaPrevious) * beta) / (1 - alpha))
    .plus(sample, (Math.sqrt(ratio) * (1 - alphaPrevious)) / (1 - alpha));
  if (!noise) return { prevSample: x.toTensor(), predOriginalSample };
  const smallest = Math.max(((1 - alphaPrevious) / (1 - alpha)) * beta, 1e-20);
  const variance = { type: varianceType, smallest, largest: beta };
  return { prevSample: addVariance(className, x, noise(mean), learned, variance), predOriginalSample };
}

/** A model of learned variances has them in the second half of its channels. */
function splitOutput(
  type: string | null,
  modelOutput: Tensor,
  sample: Tensor,
): [mean: Tensor, variance: Tensor | null] {
  const channels = sample.shape[1];
  const learns = type === "learned" || type === "learned_range";
  if (!learns || modelOutput.shape[1] !== 2 * channels) return [modelOutput, null];
  return [slice(modelOutput, 1, 0, channels), slice(modelOutput, 1, channels, channels)];
}

/** @param variance `smallest`: of the posterior; `largest`: of the forward step */
function addVariance(
  className: string,
  x: Linear,
  noise: Tensor,
  learned: Tensor | null,
  variance: { type: string | null; smallest: number; largest: number },
): Tensor {
  const { smallest, largest } = variance;
  const type = oneOf(className, "variance_type", variance.type ?? "fixed_small", VARIANCES);
  switch (type) {
    case "fixed_small":
    case "fixed_small_log":
      return x.plus(noise, Math.sqrt(smallest)).toTensor();
    case "fixed_large":
      return x.plus(noise, Math.sqrt(largest)).toTensor();
    case "learned_range": {
      if (!learned)
        throw new RangeError(`${className}.step: variance_type "learned_range" needs twice the sample's channels`);
      // ln σ = ½ (f ln β + (1 - f) ln β̃) for f = (v + 1) / 2.
      const [low, high] = [Math.log(smallest), Math.log(largest)];
      const scaled = learnedNoise(noise, learned, { offset: (high + low) / 4, slope: (high - low) / 4 });
      return x.plus(scaled).toTensor();
    }
    // diffusers takes the square root of a logarithm, or of the model's raw output: both give NaN.
    case "fixed_large_log":
    case "learned":
      throw new RangeError(
        `${className}: variance_type "${type}" has no finite result in diffusers; use "fixed_large" or "learned_range"`,
      );
  }
}
