/** The options of a call: which there are, and which may be null, before their values are looked at. */
import { hint } from "../../arguments/options.js";
import { inOwnSpelling, type WithoutNulls } from "../../arguments/spelling.js";

/** The names of all options; true where null is as good as nothing: where Python's default is None. */
export type OptionTable<T> = Readonly<Record<keyof T, boolean>>;

/**
 * The options that were given, in either spelling, without those that are null where that means nothing.
 * @param unknown what is done about names that are no options: Python's calls warn of nothing or raise a TypeError, as they
 *   take `**kwargs` or not
 * @throws TypeError for anything but a plain object, naming what was given, and for an option in both spellings
 */
export function takeOptions<T extends object>(
  className: string,
  given: T | null | undefined,
  table: OptionTable<T>,
  unknown: "warn" | "refuse",
): WithoutNulls<T> {
  const own = inOwnSpelling(given, Object.keys(table), className);
  const entries = Object.entries(own).filter(([, value]) => value !== undefined);
  const strange = entries.filter(([name]) => !Object.hasOwn(table, name)).map(([name]) => name);
  if (strange.length > 0) {
    const message = strange.map((name) => `\`${name}\` ${hint(Object.keys(table))}`).join(", ");
    if (unknown === "refuse") throw new TypeError(`${className}: got options that a call does not have: ${message}`);
    console.warn(`${className}: options that a call does not have are ignored: ${message}`);
  }
  const known = entries.filter(([name, value]) => value !== null || !table[name as keyof T]);
  return Object.fromEntries(known) as WithoutNulls<T>;
}
