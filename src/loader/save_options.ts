/** The options of savePretrained(): schedulers and tokenizers have none, models and pipelines those of their weights. */
import { respelt } from "../arguments/spelling.js";

/**
 * Warns of options that do not exist, as calls do.
 * @throws TypeError for one that asks for pickles
 */
export function checkSaveOptions(className: string, options: object, known: readonly string[] = []): void {
  const names = [...known, "safeSerialization"];
  const unknown: string[] = [];
  for (const [name, value] of Object.entries(options)) {
    const meant = respelt(name, names);
    if (value === false && (meant ?? name) === "safeSerialization")
      throw new TypeError(
        `${className}.savePretrained: ${name}: false asks for pickles (.bin), which are never written; leave it out`,
      );
    const hint = meant ? `it is \`${meant}\`` : known.length > 0 ? `there are ${known.join(", ")}` : "there are none";
    if (!names.includes(name) && value !== undefined) unknown.push(`\`${name}\` (${hint})`);
  }
  if (unknown.length > 0)
    console.warn(`${className}.savePretrained: options that it does not have are ignored: ${unknown.join(", ")}`);
}
