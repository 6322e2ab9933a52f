/** Steps of several samples at once, each at a timestep of its own. */
import { slice } from "../tensor/ops/copy.js";
import { concat } from "../tensor/ops/shape.js";
import type { Tensor } from "../tensor/tensor.js";
import { checkTimes } from "./noising.js";

/**
 * Runs `step` on each sample with its timestep, or on all at once where they have the same.
 * @param what the method, for messages
 * @param modelOutput [batch, …]
 * @param timesteps one for all samples or one per sample
 * @param sample [batch, …]
 * @param step makes the next sample, of the shape that it is given; what it makes besides is freed
 * @returns the next samples, which belong to the caller
 * @throws TypeError unless the timesteps are numbers; RangeError for as many as there are no samples
 */
export function batched(
  what: string,
  modelOutput: Tensor,
  timesteps: number | readonly number[],
  sample: Tensor,
  step: (modelOutput: Tensor, timestep: number, sample: Tensor) => Tensor,
): Tensor {
  const times = checkTimes(what, timesteps, sample);
  return sample.device.scope(() => {
    if (times.every((t) => t === times[0])) return step(modelOutput, times[0], sample);
    const of = (x: Tensor, i: number): Tensor => slice(x, 0, i, 1);
    return joined(times.map((t, i) => step(of(modelOutput, i), t, of(sample, i))));
  });
}

/** All samples as one tensor, by halves, so that few numbers are copied often. */
function joined(samples: readonly Tensor[]): Tensor {
  if (samples.length === 1) return samples[0];
  const half = samples.length >> 1;
  return concat(joined(samples.slice(0, half)), joined(samples.slice(half)), 0);
}
