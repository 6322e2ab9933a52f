/** What a model predicts, and x0 from it, for x = α x0 + σ noise. */
import { cast } from "../tensor/ops/copy.js";
import { dynamicThreshold } from "../tensor/ops/dynamic_threshold.js";
import type { Tensor } from "../tensor/tensor.js";
import { oneOf } from "./config.js";
import { Linear } from "./linear.js";

/** What a model predicts: the noise, x0, the velocity √ᾱ noise - √(1 - ᾱ) x0 (Salimans & Ho 2022), or a flow's. A config's `prediction_type`. */
export type Prediction = "epsilon" | "sample" | "v_prediction" | "flow_prediction";
export const USUAL_PREDICTIONS = ["epsilon", "sample", "v_prediction"] as const;
/** Those that schedulers without flows take. */
export type UsualPrediction = (typeof USUAL_PREDICTIONS)[number];

/** How x is made of x0 and noise, and what the class knows. */
export interface Rates {
  alpha: number;
  sigma: number;
  /** The values of `prediction_type` that the class has. */
  known?: readonly Prediction[];
  /** Whether x0 will be clipped or thresholded. */
  bounded?: boolean;
}

/** x0 as a weighted sum of the sample and the model's output. */
export function predictX0(
  className: string,
  type: string,
  modelOutput: Tensor | Linear,
  sample: Tensor | Linear,
  { alpha, sigma, known = USUAL_PREDICTIONS, bounded = false }: Rates,
): Linear {
  const [m, x] = [linear(modelOutput), linear(sample)];
  switch (oneOf(className, "prediction_type", type, known)) {
    case "epsilon":
      // With zero terminal SNR the first x0 is infinite; clipping turns it into its sign, as this large number does.
      if (alpha === 0 && !bounded)
        throw new RangeError(
          `${className}.step: with rescale_betas_zero_snr the first timestep has no signal to find x0 in; ` +
            'prediction_type must be "v_prediction" or "sample" there, got "epsilon"',
        );
      return x.plus(m, -sigma).times(alpha === 0 ? 1e30 : 1 / alpha);
    case "sample":
      return m;
    case "v_prediction":
      return x.times(alpha).plus(m, -sigma);
    case "flow_prediction":
      return x.plus(m, -sigma);
  }
}

/** The noise as a weighted sum of the sample and the model's output. */
export function predictEpsilon(
  className: string,
  type: string,
  modelOutput: Tensor | Linear,
  sample: Tensor | Linear,
  { alpha, sigma, known = USUAL_PREDICTIONS }: Rates,
): Linear {
  const [m, x] = [linear(modelOutput), linear(sample)];
  switch (oneOf(className, "prediction_type", type, known)) {
    case "epsilon":
      return m;
    case "sample":
      return x.plus(m, -alpha).times(1 / sigma);
    case "v_prediction":
      return m.times(alpha).plus(x, sigma);
    case "flow_prediction":
      return m.times(1 - sigma).plus(x);
  }
}

export const linear = (x: Tensor | Linear): Linear => (x instanceof Linear ? x : Linear.of(x));

/** Keys that bound the guess of x0; a class lacks those that it does not know. */
export interface ClipConfig {
  readonly thresholding?: boolean;
  readonly dynamic_thresholding_ratio?: number;
  readonly sample_max_value?: number;
  readonly clip_sample?: boolean;
  readonly clip_sample_range?: number;
}

/** The tensor itself if it is float32. */
const single = (x: Tensor): Tensor => (x.dtype === "float32" ? x : cast(x, "float32"));

/** Computes x0, with dynamic thresholding or clipping where the config asks for it. */
export function boundedX0(x0: Linear, config: ClipConfig): Tensor {
  if (config.thresholding)
    return dynamicThreshold(single(x0.toTensor()), {
      ratio: config.dynamic_thresholding_ratio ?? 0.995,
      max: config.sample_max_value ?? 1,
    });
  const range = config.clip_sample_range ?? 1;
  return x0.toTensor(config.clip_sample ? { clamp: [-range, range] } : {});
}

/** Whether x0 has to be computed before the formulas can go on. */
export const isBounded = (config: ClipConfig): boolean => Boolean(config.thresholding || config.clip_sample);

/** Those that the schedulers of the sigma family know by name. */
export type SigmaPrediction = "epsilon" | "sample" | "original_sample" | "v_prediction";

/**
 * x0 for x = x0 + σ noise (the sigma family), where the model sees x / √(σ² + 1).
 * @param sigmaHat the level that x has after extra noise; defaults to σ
 */
export function sigmaPrediction(
  className: string,
  type: string,
  modelOutput: Tensor,
  x: Linear,
  { sigma, sigmaHat = sigma, known }: { sigma: number; sigmaHat?: number; known: readonly SigmaPrediction[] },
): Linear {
  switch (oneOf(className, "prediction_type", type, known)) {
    case "sample":
    case "original_sample":
      return Linear.of(modelOutput);
    case "epsilon":
      return x.plus(modelOutput, -sigmaHat);
    case "v_prediction":
      return x.times(1 / (sigma ** 2 + 1)).plus(modelOutput, -sigma / Math.sqrt(sigma ** 2 + 1));
  }
}
