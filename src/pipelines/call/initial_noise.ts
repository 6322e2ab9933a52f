/** The noise that a generation starts from. */
import type { StepOptions } from "../../schedulers/index.js";
import type { Device } from "../../tensor/device.js";
import type { DType } from "../../tensor/dtype.js";
import { randnTensor, type Generator } from "../../tensor/random.js";
import { Tensor } from "../../tensor/tensor.js";
import type { CallOptions } from "./check_inputs.js";

/** A list of one generator is that one: these calls of diffusers do not ask for one per picture. */
export const soleGenerator = (given: CallOptions["generator"]): CallOptions["generator"] =>
  Array.isArray(given) && given.length === 1 ? (given[0] as CallOptions["generator"]) : given;

/** A list of generators has one for each picture of the batch: the first ones draw for those that a call is given. */
export const firstGenerators = (given: CallOptions["generator"], count: number): CallOptions["generator"] =>
  Array.isArray(given) ? (given as readonly Generator[]).slice(0, count) : given;

/** @throws RangeError for a list of generators that has not one per picture */
export function checkGenerators(generator: StepOptions["generator"], batch: number): void {
  if (!Array.isArray(generator) || generator.length === batch) return;
  throw new RangeError(
    `You have passed a list of generators of length ${generator.length}, but requested an effective batch size of ${batch}. ` +
      "Make sure the batch size matches the length of the generators.",
  );
}

/** @throws RangeError for latents to begin with that have another shape */
export function expectShape(latents: Tensor, shape: readonly number[], argument = "latents"): void {
  if (latents.shape.join() === shape.join()) return;
  throw new RangeError(
    `\`${argument}\` must be [${shape.join(", ")}] for these prompts and this size, got [${latents.shape.join(", ")}]`,
  );
}

/**
 * Standard normal noise, drawn as torch does it in a model's dtype and kept in float32, as all that the steps compute with.
 * @returns a tensor of `shape`; the caller disposes it
 */
export function initialNoise(
  device: Device,
  shape: readonly number[],
  { generator, dtype }: { generator: StepOptions["generator"]; dtype: DType },
): Tensor {
  const drawn = dtype === "float16" ? "float16" : "float32";
  const source = (generator ?? undefined) as Generator | undefined;
  return Tensor.from(randnTensor(shape, { generator: source, dtype: drawn }), shape, { device });
}
