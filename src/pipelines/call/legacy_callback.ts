/** `callback` and `callback_steps`, what calls of diffusers had before callback_on_step_end: pipeline_stable_diffusion.py. */
import type { Tensor } from "../../tensor/tensor.js";
import type { CallOptions } from "./check_inputs.js";

/** Says that they are deprecated, as diffusers' deprecate() does. */
export function warnOfLegacyCallback(options: CallOptions): void {
  for (const name of ["callback", "callbackSteps"] as const)
    if (options[name] !== undefined)
      console.warn(
        `\`${name}\` is deprecated and will be removed in version 1.0.0. Passing \`${name}\` as an option of a call is ` +
          "deprecated, consider using `callbackOnStepEnd`",
      );
}

/**
 * Calls the callback, if there is one, when model call `i` has ended a step of the schedule: of schedulers that call the model more
 * often only the last call of a step counts, and what comes before the schedule (PNDM's first) does not.
 * @param order the model calls of a step
 * @param always every model call counts
 */
export async function callLegacyCallback(
  { callback, callbackSteps = 1, numInferenceSteps = 50, timesteps: custom, sigmas }: CallOptions,
  i: number,
  {
    timesteps,
    order,
    latents,
    always,
  }: { timesteps: readonly number[]; order: number; latents: Tensor; always: boolean },
): Promise<void> {
  if (!callback) return;
  const steps = custom || sigmas ? timesteps.length : numInferenceSteps;
  const warmup = timesteps.length - steps * order;
  const ends = always || i === timesteps.length - 1 || (i + 1 > warmup && (i + 1) % order === 0);
  if (ends && i % callbackSteps === 0) await callback(Math.floor(i / order), timesteps[i], latents);
}
