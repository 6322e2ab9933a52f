/** Predictor and corrector of the variance-exploding SDE (Song et al. 2021, arXiv 2011.13456). */
import { langevin } from "../tensor/ops/langevin.js";
import { Tensor } from "../tensor/tensor.js";
import { linspace } from "./betas.js";
import { at } from "./checks.js";
import { Linear } from "./linear.js";

const f32 = Math.fround;

/** Times from 1 down to `eps`. */
export const veTimesteps = (n: number, eps: number): number[] => Array.from(linspace(1, eps, n));

/** Levels at these times. */
export const veSigmas = (timesteps: readonly number[], min: number, max: number): number[] =>
  timesteps.map((t) => f32(min * f32(f32(max / min) ** t)));

/** n levels in ascending order, evenly spaced in ln σ. */
export const veDiscreteSigmas = (n: number, min: number, max: number): Float32Array<ArrayBuffer> =>
  Float32Array.from(linspace(Math.log(min), Math.log(max), n), Math.exp);

/** Reverse diffusion: from the level at `timestep` (of `steps` ones) to the one below. */
export function vePredict(
  className: string,
  { sigmas, steps, timestep }: { sigmas: ArrayLike<number>; steps: number; timestep: number },
  modelOutput: Tensor,
  sample: Tensor,
  noise: Tensor,
): { prevSample: Tensor; prevSampleMean: Tensor } {
  const index = Math.trunc(f32(f32(timestep) * (steps - 1)));
  const sigma = at(className, sigmas, index);
  const below = index === 0 ? 0 : sigmas[index - 1];
  const variance = sigma ** 2 - below ** 2;
  const mean = Linear.of(sample).plus(modelOutput, variance);
  return { prevSample: mean.plus(noise, Math.sqrt(variance)).toTensor(), prevSampleMean: mean.toTensor() };
}

/** Langevin dynamics at one level: the signal-to-noise ratio fixes the size of the step. @param noise of sample's shape */
export function veCorrect(snr: number, modelOutput: Tensor, sample: Tensor, noise: Float32Array): Tensor {
  const batch = sample.shape[0];
  const width = noise.length / batch;
  const norms = Array.from({ length: batch }, (_, b) =>
    Math.sqrt(noise.subarray(b * width, (b + 1) * width).reduce((sum, v) => sum + v * v, 0)),
  );
  const strength = (snr * norms.reduce((a, b) => a + b, 0)) / batch;
  return langevin(sample, modelOutput, Tensor.from(noise, sample.shape, { device: sample.device }), strength);
}
