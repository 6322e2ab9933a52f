/** The options of a call as they were given, before their names and values are looked at. */
import { isPlain } from "./config_object.js";
import { shown } from "./shown.js";

/** Said of a name that is no option: all there are. */
export const hint = (known: readonly string[]): string => `(there are ${known.join(", ") || "none"})`;

/**
 * The options that were given; null is as none, as Python's None.
 * @param known the options that there are, for the message
 * @param caller for the message, e.g. "estimateMemory"
 * @throws TypeError for anything but a plain object: a dtype or a device in their place would do nothing without a word
 */
export function plainOptions<T extends object>(given: T | null | undefined, known: readonly string[], caller = ""): T {
  if (given === null || given === undefined) return {} as T;
  if (isPlain(given)) return given;
  const where = caller === "" ? "" : `${caller}: `;
  throw new TypeError(`${where}options must be an object, got ${shown(given)} ${hint(known)}`);
}

/** @throws TypeError naming the option */
export function checkFunction(name: string, value: unknown): void {
  if (value !== undefined && typeof value !== "function")
    throw new TypeError(`${name} must be a function, got ${shown(value)}`);
}
