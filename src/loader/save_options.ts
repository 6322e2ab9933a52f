/** The options of savePretrained(): schedulers and tokenizers have none, models and pipelines those of their weights. */
import { hint } from "../arguments/options.js";
import { inOwnSpelling } from "../arguments/spelling.js";

/**
 * The options that were given, in either spelling. Those that do not exist are warned of, as calls do.
 * @param given null is as none
 * @throws TypeError for anything but a plain object, for one that asks for pickles, and for one in both spellings
 */
export function takeSaveOptions<T extends object>(
  className: string,
  given: T | null | undefined,
  known: readonly string[] = [],
): T {
  const options = inOwnSpelling(given, known, `${className}.savePretrained`);
  const unknown: string[] = [];
  for (const [name, value] of Object.entries(options)) {
    if (name === "safeSerialization" || name === "safe_serialization") {
      if (value !== false) continue; // what is done anyway
      throw new TypeError(
        `${className}.savePretrained: ${name}: false asks for pickles (.bin), which are never written; leave it out`,
      );
    }
    if (!known.includes(name) && value !== undefined) unknown.push(`\`${name}\` ${hint(known)}`);
  }
  if (unknown.length > 0)
    console.warn(`${className}.savePretrained: options that it does not have are ignored: ${unknown.join(", ")}`);
  return options;
}
