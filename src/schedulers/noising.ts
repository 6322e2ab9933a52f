/** The forward process: mixing samples with noise, one time per sample of the batch. */
import { mixSamples } from "../tensor/ops/per_sample.js";
import type { Tensor } from "../tensor/tensor.js";
import { Linear } from "./linear.js";

/**
 * a x + b n, with coefficients that depend on the time of each sample.
 * @param timesteps one for all samples or one per sample
 * @param coefficients the pair (a, b) at a time
 */
export function mixAtTimes(
  what: string,
  x: Tensor,
  n: Tensor,
  timesteps: number | readonly number[],
  coefficients: (timestep: number) => readonly [a: number, b: number],
): Tensor {
  const times = typeof timesteps === "number" ? [timesteps] : Array.from(timesteps);
  const pairs = times.map(coefficients);
  if (times.every((t) => t === times[0]) && times.length > 0)
    return Linear.of(x, pairs[0][0]).plus(n, pairs[0][1]).toTensor();
  if (times.length !== x.shape[0])
    throw new RangeError(`${what}: needs one timestep, or one for each of ${x.shape[0]} samples, got ${times.length}`);
  return mixSamples(x, n, pairs);
}

/** √ᾱ x + √(1 - ᾱ) noise: the forward process, for ᾱ given by the time. */
export const noisyAt = (
  what: string,
  x: Tensor,
  noise: Tensor,
  timesteps: number | readonly number[],
  alphaAt: (timestep: number) => number,
): Tensor =>
  mixAtTimes(what, x, noise, timesteps, (t) => {
    const alpha = alphaAt(t);
    return [Math.sqrt(alpha), Math.sqrt(1 - alpha)];
  });

/** √ᾱ noise - √(1 - ᾱ) x: what a model of `v_prediction` learns (Salimans & Ho 2022). */
export const velocityAt = (
  what: string,
  x: Tensor,
  noise: Tensor,
  timesteps: number | readonly number[],
  alphaAt: (timestep: number) => number,
): Tensor =>
  mixAtTimes(what, x, noise, timesteps, (t) => {
    const alpha = alphaAt(t);
    return [-Math.sqrt(1 - alpha), Math.sqrt(alpha)];
  });
