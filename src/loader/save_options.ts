/** The options of savePretrained(): schedulers and tokenizers have none, models and pipelines those of their weights. */
import { hint } from "../arguments/spelling.js";

/**
 * Warns of options that do not exist, as calls do.
 * @throws TypeError for one that asks for pickles
 */
export function checkSaveOptions(className: string, options: object, known: readonly string[] = []): void {
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
}
