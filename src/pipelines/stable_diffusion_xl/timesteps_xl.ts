/** Which part of a schedule Stable Diffusion XL's base model does, and which the refiner: denoisingStart, denoisingEnd. */
import { shown } from "../../arguments/shown.js";
import type { Scheduler } from "../../schedulers/index.js";
import { roundHalfEven } from "../../tensor/round.js";
import type { CallOptions } from "../call/check_inputs.js";
import { imageTimesteps } from "../call/image_latents.js";
import { beginAt, prepareTimesteps } from "../call/prepare.js";
import type { XLPictureCallOptions } from "./check_inputs_xl.js";

/** Whether it parts a schedule: from 1 on, and up to 0, it says nothing. */
export const isPart = (value: number | undefined): value is number => value !== undefined && value > 0 && value < 1;

/**
 * What is done of a schedule with a picture: from denoisingStart on, or `strength` of it, to denoisingEnd.
 * @param least of the steps that must be left before denoisingEnd cuts them
 * @returns noised: the timestep whose noise is added to the picture, null where none is; uncut: how many there are before denoisingEnd cuts
 * @throws RangeError where no step is left
 */
export function pictureTimesteps(
  scheduler: Scheduler,
  options: XLPictureCallOptions,
  strength: number,
  least = 0,
): { noised: number | null; timesteps: readonly number[]; uncut: number } {
  const { denoisingStart: start, denoisingEnd: end } = options;
  const all = isPart(start)
    ? fromDenoisingStart(scheduler, options, start)
    : imageTimesteps(scheduler, options, strength, least);
  if (all.length < least)
    throw new RangeError(
      `After \`denoisingStart\` ${start} no step is left; give an earlier one or more inference steps`,
    );
  // As in diffusers also for a start of 0 or 1, which parts nothing.
  const timesteps = untilDenoisingEnd(scheduler, all, end);
  return { noised: start === undefined ? all[0] : null, timesteps, uncut: all.length };
}

/** Those before denoisingEnd. */
export function untilDenoisingEnd(
  scheduler: Scheduler,
  timesteps: readonly number[],
  end: number | undefined,
): readonly number[] {
  if (!isPart(end)) return timesteps;
  const cutoff = cutoffOf(scheduler, "denoisingEnd", end);
  return timesteps.slice(0, timesteps.filter((t) => t >= cutoff).length);
}

/** A new schedule from denoisingStart on; the scheduler is told where that is. */
function fromDenoisingStart(scheduler: Scheduler, options: CallOptions, start: number): readonly number[] {
  const all = prepareTimesteps(scheduler, options);
  const cutoff = cutoffOf(scheduler, "denoisingStart", start);
  let count = all.filter((t) => t < cutoff).length;
  // Of a step of two model calls the second one has the next timestep: an even number would begin in its middle.
  if (scheduler.order === 2 && count % 2 === 0) count++;
  const begin = Math.max(0, all.length - count);
  beginAt(scheduler, begin);
  return all.slice(begin);
}

function cutoffOf({ config, className }: Scheduler, name: string, part: number): number {
  const { num_train_timesteps: trained } = config as { num_train_timesteps?: unknown };
  if (typeof trained === "number") return roundHalfEven(trained - part * trained);
  throw new TypeError(`\`${name}\`: a ${className} has no num_train_timesteps to measure it by, got ${shown(trained)}`);
}
