/** The two spellings of names: what is read from files has snake_case, every other option camelCase; Python has the first only. */
import { plainOptions } from "./options.js";

const camelCase = (name: string): string => name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
const snakeCase = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

/** The one of `known` that `name` would be in the other spelling. */
const respelt = (name: string, known: readonly string[]): string | undefined =>
  known.includes(name) ? undefined : [camelCase(name), snakeCase(name)].find((other) => known.includes(other));

/**
 * Options with those of `known` under these names, where they were given in the other spelling. What is undefined or null does not
 * undo what the other spelling says.
 * @param options null is as none
 * @param caller for the message, e.g. "StableDiffusionPipeline"
 * @throws TypeError for anything but a plain object, and for an option that is given in both spellings: nobody would see which one
 *   counts
 */
export function inOwnSpelling<T extends object>(
  options: T | null | undefined,
  known: readonly string[],
  caller?: string,
): T {
  const own = new Map<string, [given: string, value: unknown]>();
  for (const [given, value] of Object.entries(plainOptions(options, known, caller))) {
    const name = respelt(given, known) ?? given;
    const [other, before = null] = own.get(name) ?? [];
    if (before !== null && (value === null || value === undefined)) continue;
    if (before !== null) {
      const second = given === name ? other : given;
      const message = `got both \`${name}\` and \`${second}\`, which are one option; give one of them`;
      throw new TypeError(caller === undefined ? message : `${caller}: ${message}`);
    }
    own.set(name, [given, value]);
  }
  return Object.fromEntries([...own].map(([name, [, value]]) => [name, value])) as T;
}

export type WithoutNulls<T> = { [K in keyof T]: Exclude<T[K], null> };

/**
 * The same without those of `known` that are null, which is as nothing there, as Python's None. Other names keep their nulls, which
 * may say something: that a component is left out, or a value of a config.
 * @throws TypeError for anything but a plain object, and for an option that is given in both spellings
 */
export function givenOptions<T extends object>(
  options: T | null | undefined,
  known: readonly string[],
  caller?: string,
): WithoutNulls<T> {
  const named = Object.entries(inOwnSpelling(options, known, caller));
  return Object.fromEntries(
    named.filter(([name, value]) => value !== null || !known.includes(name)),
  ) as WithoutNulls<T>;
}

/**
 * Unknown options are ignored, as in Python. But one that lacks nothing except its spelling was meant, and nobody would
 * see that it does nothing.
 * @throws TypeError naming it and what it is called
 */
export function refuseRespelt(className: string, options: object, known: readonly string[]): void {
  for (const name of Object.keys(options)) {
    const meant = respelt(name, known);
    if (meant) throw new TypeError(`${className}: has no option ${name} (it is ${meant})`);
  }
}
