/** Euler's step of flow matching where each token of a sample is at a level of its own (diffusers' per_token_timesteps). */
import { shown } from "../arguments/shown.js";
import { cast } from "../tensor/ops/copy.js";
import { mixSamples } from "../tensor/ops/per_sample.js";
import type { Tensor } from "../tensor/tensor.js";

/** What a step works on: tensors [batch, tokens, channels], and noise of that shape for a stochastic step. */
export interface TokenStep {
  modelOutput: Tensor;
  sample: Tensor;
  noise: Tensor | null;
}

/** Levels of the schedule, and the number of training timesteps, by which a timestep is divided to give a level. */
export interface TokenSchedule {
  sigmas: readonly number[];
  train: number;
}

const f32 = Math.fround;

/** The level of a token, and the next one of the schedule below it: 0 where there is none. */
function levelsOf(timestep: number, { sigmas, train }: TokenSchedule): readonly [sigma: number, next: number] {
  const sigma = f32(timestep / train);
  const bound = f32(sigma - f32(1e-6));
  return [sigma, sigmas.reduce((next, other) => (other < bound ? Math.max(next, other) : next), 0)];
}

/**
 * The sample, each token one level of the schedule lower, in float32 as in diffusers. Without noise the output is added times
 * a length that is positive: give it negated, as diffusers' pipelines do.
 * @param what the method, for messages
 * @param timesteps [batch][tokens]
 * @returns [batch, tokens, channels]; tensors made on the way are the caller's scope's
 * @throws RangeError for samples that are no tokens, and unless there is a number for each token
 */
export function tokenStep(
  what: string,
  timesteps: readonly (readonly number[])[],
  schedule: TokenSchedule,
  { modelOutput, sample, noise }: TokenStep,
): Tensor {
  checkTokens(what, timesteps, sample.shape);
  const levels = timesteps.flat().map((t) => levelsOf(t, schedule));
  const rows = (x: Tensor): Tensor =>
    (x.dtype === "float32" ? x : cast(x, "float32")).reshape([levels.length, sample.shape[2]]);
  const [x, output] = [rows(sample), rows(modelOutput)];
  const mixed = noise
    ? mixSamples(
        mixSamples(
          x,
          output,
          levels.map(([sigma]) => [1, -sigma] as const),
        ), // x0
        rows(noise),
        levels.map(([, next]) => [1 - next, next] as const),
      )
    : mixSamples(
        x,
        output,
        levels.map(([sigma, next]) => [1, sigma - next] as const),
      );
  return mixed.reshape(sample.shape);
}

function checkTokens(what: string, timesteps: readonly (readonly unknown[])[], shape: readonly number[]): void {
  const [batch, tokens] = shape;
  if (shape.length !== 3)
    throw new RangeError(
      `${what}: perTokenTimesteps needs samples of tokens, [batch, tokens, channels], got [${shape.join(", ")}]`,
    );
  if (timesteps.length !== batch || timesteps.some((of) => of.length !== tokens))
    throw new RangeError(
      `${what}: perTokenTimesteps must be ${batch} lists of ${tokens} numbers, one for each token of the sample ` +
        `[${shape.join(", ")}], got ${timesteps.length} of ${timesteps.map(({ length }) => length).join(", ")}`,
    );
  const wrong = timesteps.flat().find((t) => !Number.isFinite(t));
  if (wrong !== undefined)
    throw new RangeError(`${what}: perTokenTimesteps must be finite numbers, got ${shown(wrong)}`);
}
