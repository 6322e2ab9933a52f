/** Stochastic sampling of variance-exploding models (Karras et al. 2022, arXiv 2206.00364, algorithm 2), as diffusers has it. */
import type { Tensor } from "../tensor/tensor.js";
import { Linear } from "./linear.js";
import { derivative, eulerUpdate } from "./sigma_formulas.js";

export const KARRAS_VE_DEFAULTS = {
  sigma_min: 0.02,
  sigma_max: 100,
  s_noise: 1.007,
  s_churn: 80,
  s_min: 0.05,
  s_max: 50,
};
export type KarrasVeValues = typeof KARRAS_VE_DEFAULTS;

/** Descending indices, and σ at each of them; as in diffusers these are squares of the paper's. */
export function veSchedule(
  className: string,
  { sigma_max: max, sigma_min: min }: KarrasVeValues,
  n: number,
): { timesteps: number[]; schedule: number[] } {
  if (n < 2) throw new RangeError(`${className}.setTimesteps: needs at least 2 steps, got ${n}`);
  const timesteps = Array.from({ length: n }, (_, i) => n - 1 - i);
  const schedule = timesteps.map((i) => Math.fround(max ** 2 * (min ** 2 / max ** 2) ** (i / (n - 1))));
  return { timesteps, schedule };
}

/** Raises the level of a sample of `n` steps from `sigma` to sigmaHat = σ + γ σ. @param noise standard normal, of its shape */
export function veChurn(
  { s_min, s_max, s_churn, s_noise }: KarrasVeValues,
  n: number,
  sample: Tensor,
  sigma: number,
  noise: Tensor,
): [sampleHat: Tensor, sigmaHat: number] {
  const gamma = s_min <= sigma && sigma <= s_max ? Math.min(s_churn / n, Math.SQRT2 - 1) : 0;
  const sigmaHat = sigma + gamma * sigma;
  const hat = Linear.of(sample).plus(noise, s_noise * Math.sqrt(sigmaHat ** 2 - sigma ** 2));
  return [hat.toTensor(), sigmaHat];
}

/** A step between levels. */
export interface VeStep {
  sigmaHat: number;
  sigmaPrev: number;
  sampleHat: Tensor;
}

/** What a step or its correction gives; x0 is not computed yet. */
export interface VeUpdate {
  prevSample: Tensor;
  derivative: Tensor;
  x0: Linear;
}

/** Euler's step. @param modelOutput the model's score of `sampleHat` */
export function veEuler(modelOutput: Tensor, { sigmaHat, sigmaPrev, sampleHat }: VeStep): VeUpdate {
  const x = Linear.of(sampleHat);
  const x0 = x.plus(modelOutput, sigmaHat);
  const prevSample = eulerUpdate(x, x0, { from: sigmaHat, to: sigmaPrev }).toTensor();
  return { prevSample, derivative: derivative(x, x0, sigmaHat).toTensor(), x0 };
}

/** Heun's correction of a step that gave `samplePrev` and `derivative`. @param modelOutput the model's score of `samplePrev` */
export function veHeun(
  modelOutput: Tensor,
  { sigmaHat, sigmaPrev, sampleHat }: VeStep,
  { samplePrev, derivative: first }: { samplePrev: Tensor; derivative: Tensor },
): VeUpdate {
  const x = Linear.of(samplePrev);
  const x0 = x.plus(modelOutput, sigmaPrev);
  const mean = derivative(x, x0, sigmaPrev).times(0.5).plus(first, 0.5);
  const prevSample = Linear.of(sampleHat)
    .plus(mean, sigmaPrev - sigmaHat)
    .toTensor();
  return { prevSample, derivative: Linear.of(first).toTensor(), x0 };
}
