/** The forward process: mixing samples with noise, one time per sample of the batch. */
import { shown } from "../arguments/shown.js";
import { noTensor } from "../tensor/no_tensor.js";
import { mixSamples } from "../tensor/ops/per_sample.js";
import { Tensor } from "../tensor/tensor.js";
import { Linear } from "./linear.js";

/**
 * a x + b n, with coefficients that depend on the time of each sample.
 * @param timesteps one for all samples or one per sample
 * @param coefficients the pair (a, b) at a time
 * @throws TypeError unless x and n are tensors and the timesteps numbers; RangeError for as many as there are no samples
 */
export function mixAtTimes(
  what: string,
  x: Tensor,
  n: Tensor,
  timesteps: number | readonly number[],
  coefficients: (timestep: number) => readonly [a: number, b: number],
): Tensor {
  for (const [name, value] of Object.entries({ sample: x, noise: n }))
    if (!((value as unknown) instanceof Tensor))
      throw new TypeError(`${what}: ${name} must be a Tensor, got ${noTensor(value)}`);
  const times = checkTimes(what, timesteps, x);
  const pairs = times.map(coefficients);
  if (times.every((t) => t === times[0])) return Linear.of(x, pairs[0][0]).plus(n, pairs[0][1]).toTensor();
  return mixSamples(x, n, pairs);
}

/**
 * Timesteps as a list: one for all samples or one per sample, given as a number, a list or a typed array.
 * @throws TypeError for anything but numbers; RangeError for as many as there are no samples
 */
export function checkTimes(what: string, timesteps: unknown, { shape: [batch] }: Tensor): number[] {
  if (typeof timesteps === "number") return [timesteps];
  const wanted = `${what}: timesteps must be a number or a list of numbers`;
  // A tensor's numbers are on the GPU, and nothing here waits for them.
  if (timesteps instanceof Tensor)
    throw new TypeError(`${wanted}, got ${String(timesteps)}; read it first: await timesteps.data()`);
  const isList = Array.isArray(timesteps) || ArrayBuffer.isView(timesteps);
  const times: unknown[] = isList ? Array.from(timesteps as ArrayLike<unknown>) : [];
  if (!isList || !times.every((t) => typeof t === "number")) throw new TypeError(`${wanted}, got ${shown(timesteps)}`);
  if (times.length === 1 || times.length === batch) return times as number[];
  throw new RangeError(`${what}: needs one timestep, or one for each of ${batch} samples, got ${times.length}`);
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
