/** Checks whose errors name the method, the fault and the values. */
import { shown } from "../arguments/shown.js";
import { inOwnSpelling } from "../arguments/spelling.js";
import { noTensor } from "../tensor/no_tensor.js";
import { Tensor } from "../tensor/tensor.js";
import type { ConfiguredScheduler } from "./configured_scheduler.js";
import type { CustomSchedule, ScheduleOptions } from "./scheduler.js";

/** More steps than anybody runs. Python goes on for hours, or until it has no memory left. */
const MOST_STEPS = 1e5;

/** What has steps: its name for messages, and the number of timesteps that its model was trained with, if any. */
type Stepped = Pick<ConfiguredScheduler, "className" | "length">;

/**
 * The number of steps of a run.
 * @param most num_train_timesteps, for the classes that diffusers bounds by it; the others are only kept from the absurd
 * @throws RangeError unless `n` is a whole number from 1 to `most`
 */
export function checkSteps({ className, length }: Stepped, n: number | null | undefined, most?: number): number {
  // Some constructors set all timesteps of the training, and however many it had, they are no absurd number.
  const bound = most ?? Math.max(MOST_STEPS, length ?? 0);
  if (typeof n === "number" && Number.isInteger(n) && n >= 1 && n <= bound) return n;
  const range = most === undefined ? bound : `num_train_timesteps, ${bound}`;
  throw new RangeError(
    `${className}.setTimesteps: numInferenceSteps must be a whole number from 1 to ${range}, got ${shown(n)}`,
  );
}

/** The number of timesteps of the training. @throws RangeError unless it is a whole number from 1 to a million */
export function checkTrainTimesteps(className: string, n: number): number {
  if (Number.isInteger(n) && n >= 1 && n <= 1e6) return n;
  throw new RangeError(`${className}: num_train_timesteps must be a whole number from 1 to 1000000, got ${shown(n)}`);
}

/** What `setTimesteps` has set. @throws Error before it */
export function checkSet(className: string, numInferenceSteps: number | null): number {
  if (numInferenceSteps !== null) return numInferenceSteps;
  throw new Error(`${className}.step: call setTimesteps first, the number of inference steps is not set`);
}

/** The error for a timestep that the class cannot take, since the schedule lacks it. */
export const offSchedule = (className: string, timestep: number): RangeError =>
  new RangeError(`${className}: timestep ${timestep} is not in the schedule; take it from scheduler.timesteps`);

/** Neither null nor undefined. */
export const given = <T>(value: T | null | undefined): value is T => value !== null && value !== undefined;

/** The number of steps, from it or from a list of timesteps. @throws RangeError unless just one of them is given */
export function countSteps(
  scheduler: Stepped,
  n: number | null | undefined,
  timesteps: readonly number[] | undefined,
  most?: number,
): number {
  if (given(n) !== given(timesteps)) return checkSteps(scheduler, n ?? timesteps?.length, most);
  const got = given(n) ? "both" : "neither";
  throw new RangeError(`${scheduler.className}.setTimesteps: takes the number of steps or timesteps, got ${got}`);
}

/** Checks timesteps of the caller's own. @throws RangeError unless they descend from below `train` */
export function checkDescending(className: string, timesteps: readonly number[], train: number): void {
  const method = `${className}.setTimesteps: timesteps must`;
  if (timesteps.some((t, i) => i > 0 && t >= timesteps[i - 1]))
    throw new RangeError(`${method} be in descending order, got ${shown(timesteps)}`);
  if (timesteps[0] >= train)
    throw new RangeError(`${method} start before num_train_timesteps, ${train}, got ${timesteps[0]}`);
}

/**
 * Euler and UniPC write null where the levels are those of the betas; these classes have no betas.
 * @throws TypeError unless the ends of the schedule are numbers
 */
export function checkEnds(className: string, { sigma_min: min, sigma_max: max }: Record<string, unknown>): void {
  if (given(min) && given(max)) return;
  throw new TypeError(`${className}: sigma_min and sigma_max must be numbers, got ${shown(min)} and ${shown(max)}`);
}

/** What setTimesteps of any class takes. */
const SCHEDULE_OPTIONS = [
  ...["timesteps", "sigmas", "mu", "originalInferenceSteps", "strength", "samplingEps"],
  ...["jumpLength", "jumpNSample", "maxTimesteps", "intermediateTimesteps"],
];

/**
 * The options of a `setTimesteps` under their own names: Python's spelling is taken, too, and null is as nothing.
 * @throws TypeError for anything but an object: diffusers' second argument, a device, is none that is needed here
 */
export function optionsObject<T extends ScheduleOptions>(className: string, options: T | null): Partial<T> {
  if (options === null) return {};
  if (typeof options === "object" && !Array.isArray(options))
    return inOwnSpelling(options, SCHEDULE_OPTIONS, `${className}.setTimesteps`);
  throw new TypeError(
    `${className}.setTimesteps: options must be an object such as { timesteps: [999, 499] }, got ${shown(options)}; there ` +
      "is no device to give",
  );
}

/**
 * The options of a `setTimesteps`, as optionsObject() gives them.
 * @throws RangeError if an option is given that the class does not take, or a list has something else than finite numbers
 */
export function checkScheduleOptions(
  className: string,
  known: readonly CustomSchedule[],
  options: ScheduleOptions | null,
): ScheduleOptions {
  const method = `${className}.setTimesteps`;
  options = optionsObject(className, options);
  const other = Object.entries(options).find(([key, value]) => given(value) && !known.includes(key as CustomSchedule));
  if (other) throw new RangeError(notTaken(className, other[0], known));
  const lists = (["timesteps", "sigmas"] as const).filter((key) => given(options[key]));
  const numbers = lists.map((key) => [key, numbersOf(`${method}: ${key} must be`, options[key])] as const);
  return { ...options, ...Object.fromEntries(numbers) };
}

/** Said of an option that a class does not take; of a schedule of one's own in the words of diffusers' retrieve_timesteps. */
function notTaken(className: string, name: string, known: readonly CustomSchedule[]): string {
  const taken = known.join(", ");
  if (name !== "timesteps" && name !== "sigmas")
    return `${className}.setTimesteps: does not take ${name}${taken && `, only ${taken}`}`;
  const kind = name === "timesteps" ? "timestep" : "sigmas";
  return (
    `The current scheduler class ${className}'s \`setTimesteps\` does not support custom ${kind} schedules. Please check ` +
    `whether you are using the correct scheduler.${taken && ` ${className} takes ${taken}.`}`
  );
}

/** A list or a typed array as a list. */
function numbersOf(wanted: string, list: unknown): number[] {
  if (!Array.isArray(list) && !ArrayBuffer.isView(list))
    throw new TypeError(`${wanted} a list of numbers, got ${shown(list)}`);
  const numbers = Array.from(list as ArrayLike<number>);
  const wrong = numbers.findIndex((value) => !Number.isFinite(value));
  if (wrong < 0) return numbers;
  throw new RangeError(`${wanted} finite numbers, got ${shown(numbers[wrong])} at ${wrong}`);
}

/** @throws TypeError unless what a step is to work on are tensors */
export function checkTensors(className: string, modelOutput: Tensor, sample: Tensor, method = "step"): void {
  for (const [name, value] of Object.entries({ "model output": modelOutput, sample }))
    if (!((value as unknown) instanceof Tensor))
      throw new TypeError(`${className}.${method}: ${name} must be a Tensor, got ${noTensor(value)}`);
}

/** @throws TypeError unless both are tensors; RangeError if the shapes of model output and sample differ */
export function checkShapes(className: string, modelOutput: Tensor, sample: Tensor, method = "step"): void {
  checkTensors(className, modelOutput, sample, method);
  const [a, b] = [modelOutput.shape, sample.shape];
  if (a.length === b.length && a.every((n, i) => n === b[i])) return;
  throw new RangeError(
    `${className}.${method}: model output and sample must have the same shape, got [${a.join(", ")}] and [${b.join(", ")}]`,
  );
}

/**
 * Value `i` of a table over the training timesteps. The spacing "trailing" ends at -1 for some numbers of steps, where
 * rounding leaves one step more (61 of 1000): Python takes that for the last value, and so do we.
 */
export function at(className: string, table: ArrayLike<number>, i: number): number {
  if (i === -1) return table[table.length - 1];
  if (Number.isInteger(i) && i >= 0 && i < table.length) return table[i];
  throw new RangeError(
    `${className}: timesteps must be whole numbers from 0 to ${table.length - 1}, got ${i}; take them from scheduler.timesteps`,
  );
}
