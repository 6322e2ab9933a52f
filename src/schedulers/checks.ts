/** Checks whose errors name the method, the fault and the values. */
import type { Tensor } from "../tensor/tensor.js";
import type { CustomSchedule, ScheduleOptions } from "./scheduler.js";

/** @throws RangeError unless `n` is a whole number from 1 to `most` */
export function checkSteps(className: string, n: number | null | undefined, most = Infinity): number {
  if (typeof n === "number" && Number.isInteger(n) && n >= 1 && n <= most) return n;
  const range = most === Infinity ? "of at least 1" : `from 1 to num_train_timesteps, ${most}`;
  throw new RangeError(`${className}.setTimesteps: the number of steps must be a whole number ${range}, got ${n}`);
}

/** @throws RangeError if an option is given that the class does not take */
export function checkScheduleOptions(
  className: string,
  known: readonly CustomSchedule[],
  options: ScheduleOptions,
): void {
  const other = Object.entries(options).find(([key, value]) => value != null && !known.includes(key as CustomSchedule));
  if (!other) return;
  throw new RangeError(
    `${className}.setTimesteps: does not take ${other[0]}` + (known.length > 0 ? `, only ${known.join(", ")}` : ""),
  );
}

/** @throws RangeError if the shapes of model output and sample differ */
export function checkShapes(className: string, modelOutput: Tensor, sample: Tensor): void {
  const [a, b] = [modelOutput.shape, sample.shape];
  if (a.length === b.length && a.every((n, i) => n === b[i])) return;
  throw new RangeError(
    `${className}.step: model output and sample must have the same shape, got [${a.join(", ")}] and [${b.join(", ")}]`,
  );
}

/** Value `i` of a table over the training timesteps. */
export function at(className: string, table: Float32Array, i: number): number {
  if (Number.isInteger(i) && i >= 0 && i < table.length) return table[i];
  throw new RangeError(
    `${className}: timesteps must be whole numbers from 0 to ${table.length - 1}, got ${i}; take them from scheduler.timesteps`,
  );
}
