/** Steps along the derivative dx/dσ = (x - x0) / σ (Karras et al. 2022, arXiv 2206.00364; Katherine Crowson's k-diffusion). */
import { shown } from "../arguments/shown.js";
import type { Tensor } from "../tensor/tensor.js";
import type { Linear } from "./linear.js";

/** Derivatives that the linear multistep method uses unless told. */
export const LMS_ORDER = 4;

export const derivative = (x: Linear, x0: Linear, sigma: number): Linear => x.minus(x0).times(1 / sigma);

/** Euler's step from level `from` to `to`. */
export const eulerUpdate = (x: Linear, x0: Linear, { from, to }: { from: number; to: number }): Linear =>
  x.plus(derivative(x, x0, from), to - from);

/**
 * The weight of the derivative of `current` steps ago: the integral over the step of the Lagrange polynomial through
 * the last `order` levels.
 * @param index of the step
 */
export function lmsCoefficient(sigmas: readonly number[], order: number, index: number, current: number): number {
  const start = sigmas[index];
  // Coefficients of the polynomial in σ - start, lowest first.
  let polynomial = [1];
  for (let k = 0; k < order; k++) {
    if (k === current) continue;
    const root = sigmas[index - k] - start;
    const scale = 1 / (sigmas[index - current] - sigmas[index - k]);
    const shifted = [0, ...polynomial];
    polynomial = shifted.map((c, i) => (c - root * (polynomial[i] ?? 0)) * scale);
  }
  const h = sigmas[index + 1] - start;
  return polynomial.reduceRight((sum, c, i) => (sum + c / (i + 1)) * h, 0);
}

/**
 * A step of the linear multistep method over derivatives, newest first. A run that began in the middle has fewer of them
 * than its index says.
 */
export function lmsUpdate(
  { sigmas, index, order }: { sigmas: readonly number[]; index: number; order: number },
  x: Linear,
  derivatives: readonly Tensor[],
): Linear {
  const used = Math.min(index + 1, order);
  return derivatives
    .slice(0, used)
    .reduce((sum, value, k) => sum.plus(value, lmsCoefficient(sigmas, used, index, k)), x);
}

/** @throws RangeError unless it counts derivatives */
export function checkOrder(className: string, order: number): number {
  if (Number.isInteger(order) && order >= 1) return order;
  throw new RangeError(`${className}.step: order must be a whole number of at least 1, got ${shown(order)}`);
}
