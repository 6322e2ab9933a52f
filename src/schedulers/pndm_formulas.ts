/** The formulas of PNDM (Liu et al. 2022, arXiv 2202.09778), for schedulers that remember what these say. */
import type { Tensor } from "../tensor/tensor.js";
import { oneOf } from "./config.js";
import { Linear } from "./linear.js";
import { adamsBashforth } from "./multistep.js";
import { linear } from "./prediction.js";
import { spacedTimesteps, type SpacingConfig } from "./spacing.js";

/** Outputs of the model that the linear multistep method uses. */
export const PNDM_ORDER = 4;

/** How far apart the timesteps of n steps are, and those of a Runge-Kutta step. */
export const pndmStride = (train: number, n: number): { whole: number; half: number } => {
  const whole = Math.floor(train / n);
  return { whole, half: Math.floor(whole / 2) };
};

/**
 * n steps call the model n + 1 times (PLMS: the second timestep comes twice), or n + 9 times with a Runge-Kutta start.
 * @throws RangeError for fewer than 4 steps with a Runge-Kutta start
 */
export function pndmTimesteps(
  className: string,
  config: SpacingConfig & { readonly skip_prk_steps: boolean },
  n: number,
): { prk: number[]; plms: number[] } {
  const spaced = spacedTimesteps(className, config, n);
  if (config.skip_prk_steps) return { prk: [], plms: [spaced[0], ...spaced.slice(1, 2), ...spaced.slice(1)] };
  if (n < 4)
    throw new RangeError(
      `${className}.setTimesteps: the Runge-Kutta start needs at least 4 steps, got ${n}; or set skip_prk_steps`,
    );
  const { half } = pndmStride(config.num_train_timesteps, n);
  const points = spaced
    .slice(0, 4)
    .reverse()
    .flatMap((t) => [t, t + half]);
  const doubled = points.slice(0, -1).flatMap((t) => [t, t]);
  return { prk: doubled.slice(1, -1).reverse(), plms: spaced.slice(3) };
}

/** Where one evaluation of the model leads: the sample to step from, the noise to step along, the timesteps. */
export interface PNDMEvaluation {
  x: Linear;
  output: Linear;
  from: number;
  to: number;
}

/**
 * One of the four evaluations of a pseudo Runge-Kutta step, formula (13).
 * @param at `start`: the sample at the step's first evaluation; `sum`: of the weighted outputs so far, null before the first
 * @returns also the new sum, null after the last
 */
export function rungeKutta(
  at: { counter: number; prk: readonly number[]; half: number; start: Tensor | null; sum: Tensor | null },
  modelOutput: Tensor,
  timestep: number,
  sample: Tensor,
): PNDMEvaluation & { sum: Linear | null } {
  const stage = at.counter % 4;
  const weighted = Linear.of(modelOutput, stage === 0 || stage === 3 ? 1 / 6 : 1 / 3);
  const total = at.sum ? weighted.plus(at.sum) : weighted;
  return {
    x: linear(stage === 0 ? sample : (at.start ?? sample)),
    output: stage === 3 ? total : linear(modelOutput),
    from: at.prk[at.counter - stage],
    to: timestep - (at.counter % 2 === 1 ? 0 : at.half),
    sum: stage === 3 ? null : total,
  };
}

/**
 * A step of the pseudo linear multistep method, formula (12). The second step goes over the first again, with the mean of
 * both outputs (Heun), and leaves no output behind.
 * @param at `outputs`: remembered ones, newest first, without this step's; `start`: the sample of the first step
 */
export function linearMultistep(
  at: { counter: number; whole: number; outputs: readonly Tensor[]; start: Tensor | null },
  modelOutput: Tensor,
  timestep: number,
  sample: Tensor,
): PNDMEvaluation {
  const { counter, whole, outputs, start } = at;
  if (counter !== 1)
    return {
      x: linear(sample),
      from: timestep,
      to: timestep - whole,
      output: adamsBashforth([modelOutput, ...outputs]),
    };
  const times = { from: timestep + whole, to: timestep };
  if (outputs.length !== 1) return { ...times, x: linear(sample), output: adamsBashforth(outputs) };
  return { ...times, x: linear(start ?? sample), output: Linear.of(modelOutput, 0.5).plus(outputs[0], 0.5) };
}

/** Formula (9): from x at ᾱ = `alpha` to x at `alphaPrevious`, given the model's output. */
export function pndmPreviousSample(
  className: string,
  predictionType: string,
  { alpha, alphaPrevious }: { alpha: number; alphaPrevious: number },
  { x, output }: Pick<PNDMEvaluation, "x" | "output">,
): Tensor {
  const type = oneOf(className, "prediction_type", predictionType, ["epsilon", "v_prediction"]);
  const epsilon = type === "epsilon" ? output : output.times(Math.sqrt(alpha)).plus(x, Math.sqrt(1 - alpha));
  const denominator = alpha * Math.sqrt(1 - alphaPrevious) + Math.sqrt(alpha * (1 - alpha) * alphaPrevious);
  return x
    .times(Math.sqrt(alphaPrevious / alpha))
    .plus(epsilon, -(alphaPrevious - alpha) / denominator)
    .toTensor();
}
