/** The update formulas of DPM-Solver (Lu et al. 2022, arXiv 2206.00927) and DPM-Solver++ (arXiv 2211.01095). */
import type { Tensor } from "../tensor/tensor.js";
import { Linear } from "./linear.js";
import type { Level } from "./levels.js";

export const DPM_ALGORITHMS = ["dpmsolver", "dpmsolver++", "sde-dpmsolver", "sde-dpmsolver++"] as const;
export type DPMAlgorithm = (typeof DPM_ALGORITHMS)[number];
export const DPM_SOLVERS = ["midpoint", "heun"] as const;
export type DPMSolver = (typeof DPM_SOLVERS)[number];

/** Whether the algorithm works on x0 (data) instead of the noise. */
export const predictsData = (algorithm: DPMAlgorithm): boolean => algorithm.endsWith("++");
export const isStochastic = (algorithm: DPMAlgorithm): boolean => algorithm.startsWith("sde");

/**
 * The solvers of noise divide by the last level. As in diffusers, "deis" is judged by that name although it is translated.
 * @throws RangeError
 */
export function checkFinalSigmas(
  className: string,
  { algorithm_type, final_sigmas_type }: { algorithm_type: string; final_sigmas_type?: string },
): void {
  if (predictsData(algorithm_type as DPMAlgorithm) || final_sigmas_type !== "zero") return;
  throw new RangeError(
    `${className}: final_sigmas_type "zero" does not go with algorithm_type "${algorithm_type}", use "sigma_min"`,
  );
}

/** Weights of the sample, of the value D0 and the derivatives D1 (by midpoint or Heun) and D2, and of the noise. */
interface Weights {
  x: number;
  d0: number;
  d1: Record<DPMSolver, number>;
  d2: number;
  noise: number;
}

function weights(algorithm: DPMAlgorithm, from: Level, to: Level): Weights {
  const h = to.lambda - from.lambda;
  const grow = Math.expm1(h);
  const shrink = Math.expm1(-h);
  const shrink2 = Math.expm1(-2 * h);
  const { alpha, sigma } = to;
  switch (algorithm) {
    case "dpmsolver++": {
      const d0 = -alpha * shrink;
      const d1 = { midpoint: d0 / 2, heun: alpha * (shrink / h + 1) };
      return { x: sigma / from.sigma, d0, d1, d2: -alpha * ((shrink + h) / h ** 2 - 0.5), noise: 0 };
    }
    case "dpmsolver": {
      const d0 = -sigma * grow;
      const d1 = { midpoint: d0 / 2, heun: -sigma * (grow / h - 1) };
      return { x: alpha / from.alpha, d0, d1, d2: -sigma * ((grow - h) / h ** 2 - 0.5), noise: 0 };
    }
    case "sde-dpmsolver++": {
      const d0 = -alpha * shrink2;
      const d1 = { midpoint: d0 / 2, heun: alpha * (shrink2 / (2 * h) + 1) };
      const d2 = alpha * ((-shrink2 - 2 * h) / (2 * h) ** 2 - 0.5);
      return { x: (sigma / from.sigma) * Math.exp(-h), d0, d1, d2, noise: sigma * Math.sqrt(-shrink2) };
    }
    case "sde-dpmsolver": {
      const d0 = -2 * sigma * grow;
      const d1 = { midpoint: d0 / 2, heun: -2 * sigma * (grow / h - 1) };
      return { x: alpha / from.alpha, d0, d1, d2: NaN, noise: sigma * Math.sqrt(Math.expm1(2 * h)) };
    }
  }
}

/** One exponential step. Without `d1` it is of first order, without `d2` of second. */
export function dpmUpdate(
  algorithm: DPMAlgorithm,
  { from, to, solver = "midpoint" }: { from: Level; to: Level; solver?: DPMSolver },
  { x, d0, d1, d2, noise }: { x: Tensor; d0: Linear; d1?: Linear; d2?: Linear; noise?: Tensor | null },
): Linear {
  const weight = weights(algorithm, from, to);
  let result = d0.times(weight.d0).plus(x, weight.x);
  if (d1) result = result.plus(d1, weight.d1[solver]);
  if (d2) result = result.plus(d2, weight.d2);
  return noise ? result.plus(noise, weight.noise) : result;
}

export interface MultistepConfig {
  readonly solver_order: number;
  readonly lower_order_final: boolean;
  readonly euler_at_final: boolean;
}

/**
 * The order of a multistep solver's step: the first steps lack earlier outputs, and the last ones of short schedules are
 * unstable at higher orders.
 * @param at the step, the number of steps, the outputs remembered so far, and whether the schedule ends at sigma 0
 */
export function multistepOrder(
  { solver_order, lower_order_final, euler_at_final }: MultistepConfig,
  at: { index: number; steps: number; remembered: number; endsAtZero: boolean },
): number {
  const left = at.steps - at.index;
  const lowers = lower_order_final && at.steps < 15;
  let most = solver_order;
  if (left === 1 && (euler_at_final || lowers || at.endsAtZero)) most = 1;
  else if (left === 2 && lowers) most = Math.min(2, most);
  return Math.min(most, at.remembered + 1);
}

/**
 * A multistep update of order 1 to 3.
 * @param levels the level to go to, the present one, and the earlier ones as far as the order needs them
 * @param outputs converted outputs of the model, that of the present level first
 */
export function multistepUpdate(
  method: { algorithm: DPMAlgorithm; solver: DPMSolver; order: number },
  [to, from, before, earlier]: readonly Level[],
  [m0, m1, m2]: readonly Tensor[],
  { x, noise }: { x: Tensor; noise: Tensor | null },
): Linear {
  const { algorithm, solver, order } = method;
  const h = to.lambda - from.lambda;
  const d0 = Linear.of(m0);
  if (order === 1) return dpmUpdate(algorithm, { from, to }, { x, d0, noise });
  const r0 = (from.lambda - before.lambda) / h;
  const slope0 = d0.minus(m1).times(1 / r0);
  if (order === 2) return dpmUpdate(algorithm, { from, to, solver }, { x, d0, d1: slope0, noise });
  const r1 = (before.lambda - earlier.lambda) / h;
  const slope1 = Linear.of(m1)
    .minus(m2)
    .times(1 / r1);
  const bend = slope0.minus(slope1).times(1 / (r0 + r1));
  return dpmUpdate(algorithm, { from, to, solver: "heun" }, { x, d0, d1: slope0.plus(bend, r0), d2: bend, noise });
}
