/** Ops by libraries, as lines of a terminal. */
import type { PeerResult } from "../results.js";
import { digits } from "../table.js";
import { fastest, means, OURS, ratioOf } from "./ratios.js";

const [OP, LABEL, COLUMN] = [16, 40, 9];

const line = (op: string, label: string, cells: readonly string[]): string =>
  [op.padEnd(OP), label.padEnd(LABEL), ...cells.map((cell) => cell.padStart(COLUMN))].join(" ").trimEnd();

export const peerHead = (libraries: readonly string[]): string =>
  line("op (median ms)", "shape", [...libraries, "best/ours", "best peer"]);

/** A peer's cell is its time, or what is the matter. */
export function peerRow(result: PeerResult, libraries: readonly string[]): string {
  const best = fastest(result, (library) => library !== OURS);
  const cells = libraries.map((name) => peerCell(result, name));
  const ratio = ratioOf(result);
  const label = result.cutFrom ? `${result.label} *` : result.label;
  const row = line(result.op, label, [...cells, ratio === undefined ? "-" : `${digits(ratio)} x`]);
  return best ? `${row} ${best.library}: ${best.way}` : row;
}

export function peerCell(result: PeerResult, library: string): string {
  const timed = fastest(result, (name) => name === library);
  if (timed) return digits(timed.ms);
  return result.ways.find((way) => way.library === library && way.status === "wrong") ? "wrong" : "-";
}

/** What is wrong or failed in a row, one line each. */
export const complaints = ({ ways }: PeerResult): string[] =>
  ways
    .filter(({ status }) => status !== "ok")
    .map(({ library, way, status, message = "" }) => `  ${library} ${way}${way && " "}${status}: ${message}`);

export const meanLines = (results: readonly PeerResult[]): string[] =>
  means(results).map(({ name, mean, ops }) =>
    mean === undefined
      ? `${name}: no op in common`
      : `${name} / ours: ${digits(mean)} x, geometric mean over ${ops} of ${results.length} ops`,
  );
