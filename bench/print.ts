/** A run as it goes on, in the terminal. */
import type { Line, Result } from "./results.js";
import { headingOf } from "./sections.js";
import { stageSums } from "./stage_sums.js";
import { DIRECT, rooflineText, tableHead, tableRow, wholeText } from "./table.js";

let section = "";

export function print(result: Result): void {
  const next = result.kind === "op" ? tableHead() : result.kind === "whole" ? headingOf(result.name) : "";
  if (next !== section) {
    section = next;
    if (section !== "") console.log(`\n${section}`);
  }
  if (result.kind === "op") console.log(tableRow(result));
  else if (result.kind === "whole") console.log(wholeText(result));
  else console.log(rooflineText(result).join("\n"));
}

/** @throws Error if an op is wrong or failed */
export function printSummary(lines: readonly Line[]): void {
  const results = lines.filter((line) => line.kind === "op");
  if (results.some(({ cutFrom }) => cutFrom)) console.log("\n* smaller than in Stable Diffusion 1.5, for this adapter");
  if (results.some(({ doneFlops }) => doneFlops !== undefined)) console.log(`\n${DIRECT}`);
  for (const sum of stageSums(lines)) console.log(sum);
  const wrong = results.filter(({ status }) => status === "wrong" || status === "failed");
  if (wrong.length > 0) throw new Error(`${wrong.length} of ${results.length} ops are wrong or failed`);
}
