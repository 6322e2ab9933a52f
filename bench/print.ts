/** A run as it goes on, in the terminal. */
import type { OpResult, Result } from "./results.js";
import { DIRECT, rooflineText, stageSums, tableHead, tableRow, wholeText } from "./table.js";

let section = "";

export function print(result: Result): void {
  if (result.kind !== section) {
    section = result.kind;
    if (section === "op") console.log(`\n${tableHead()}`);
    else if (section === "whole") console.log("\nthe package's model, a new device");
  }
  if (result.kind === "op") console.log(tableRow(result));
  else if (result.kind === "whole") console.log(wholeText(result));
  else console.log(rooflineText(result).join("\n"));
}

/**
 * @param complete whether all ops of every stage were asked for, so that their sum means something
 * @throws Error if an op is wrong or failed
 */
export function printSummary(results: readonly OpResult[], complete: boolean): void {
  if (results.some(({ cutFrom }) => cutFrom)) console.log("\n* smaller than in Stable Diffusion 1.5, for this adapter");
  if (results.some(({ doneFlops }) => doneFlops !== undefined)) console.log(`\n${DIRECT}`);
  for (const dtype of complete ? new Set(results.map((result) => result.dtype)) : [])
    for (const line of stageSums(results.filter((result) => result.dtype === dtype))) console.log(`${line}, ${dtype}`);
  const wrong = results.filter(({ status }) => status === "wrong" || status === "failed");
  if (wrong.length > 0) throw new Error(`${wrong.length} of ${results.length} ops are wrong or failed`);
}
