/** Results as lines of a terminal. */
import type { OpResult, RooflineResult, RunInfo, WholeResult } from "./results.js";

const COLUMNS = ["op", "shape", "dtype", "ms", "p10", "p90", "GFLOP/s", "GB/s", "% limit", "error", "variant"] as const;
const WIDTHS = [15, 38, 7, 9, 9, 9, 8, 7, 7, 8, 0];
const LEFT = 3;

/** What the mark at a number of GFLOP/s means. */
export const DIRECT =
  "† as of the direct convolution; Winograd's filtering and the phases of a doubled image do fewer multiply-adds, and % limit is of those";

const line = (cells: readonly string[]): string =>
  cells
    .map((cell, i) => (i < LEFT || i === WIDTHS.length - 1 ? cell.padEnd(WIDTHS[i]) : cell.padStart(WIDTHS[i])))
    .join(" ")
    .trimEnd();

export const tableHead = (): string => line(COLUMNS);

export function tableRow(result: OpResult): string {
  const { op, label, dtype, status, cutFrom, message, pipelines = [] } = result;
  const head = [op, cutFrom ? `${label} *` : label, dtype];
  if (status !== "ok") {
    const why = status === "fused" ? "not an op of its own: fused into another" : `${status.toUpperCase()}: ${message}`;
    return `${line([...head, ...WIDTHS.slice(LEFT).map(() => "")])}  ${why}`;
  }
  const { error = 0 } = result;
  return line([...head, ...timeCells(result), error.toExponential(1), pipelines.map(variantText).join(" + ")]);
}

/** The cells from "ms" to "% limit". */
export function timeCells({ ms, p10, p90, flops, doneFlops, gflops, gbs, percent }: OpResult): string[] {
  const rate = flops > 0 ? digits(gflops) : "-";
  return [...[ms, p10, p90].map(digits), doneFlops === undefined ? rate : `${rate}†`, ...[gbs, percent].map(digits)];
}

/** Three significant digits, but all before the point. */
export function digits(value: number | undefined): string {
  if (value === undefined) return "-";
  return value >= 100
    ? value.toFixed(0)
    : value >= 10
      ? value.toFixed(1)
      : value >= 1
        ? value.toFixed(2)
        : value.toPrecision(2);
}

/** `matmul {"format":"f32","tileM":4,"flat":true,"split":false}` as "matmul f32 tileM=4 flat": what a variant goes without is left out. */
export function variantText(label: string): string {
  const start = label.indexOf("{");
  if (start < 0) return label;
  return [label.slice(0, start).trim(), ...wordsOf(JSON.parse(label.slice(start)) as object)].join(" ");
}

const wordsOf = (variant: object): string[] =>
  Object.entries(variant).flatMap(([key, value]: [string, unknown]) => {
    if (!value || value === "none") return [];
    if (value === true) return [key];
    if (typeof value === "object") return wordsOf(value);
    return [typeof value === "string" ? value : `${key}=${String(value)}`];
  });

export const CLOCKS: Record<RunInfo["clock"], string> = {
  timestamps: "the GPU's timestamps",
  wall: "the wall clock, less an empty submit and wait",
  waits: "the wall clock, the wait for the GPU included",
};

export const runText = (run: RunInfo): string[] => [
  `${[run.adapter, run.driver].filter(Boolean).join(", ")}${run.software ? " (software)" : ""}; webgpu-diffusers ${run.version}, ${run.browser ?? `Node ${run.node}`}, ${run.platform}, ${run.cpu}`,
  `times by ${CLOCKS[run.clock]}` +
    (run.loadAverage === undefined ? "" : `; load average ${run.loadAverage.toFixed(1)}`) +
    (run.tune ? "; each op tuned first" : "") +
    (run.tuned ? `; ${run.tuned} tuned ops` : "") +
    (run.software ? "; software adapters compare versions of this library, and do not predict GPUs" : ""),
];

export const rooflineText = (r: RooflineResult): string[] => [
  `FMA peak    ${digits(r.peakGflops)} GFLOP/s of float32 (${r.peakForm})` +
    (r.matrixGflops ? "" : ", the limit of halves too, which are multiplied and added as float32"),
  ...(r.matrixGflops
    ? [`matrices    ${digits(r.matrixGflops)} GFLOP/s of halves, sums in float32: float16's limit`]
    : []),
  `bandwidth   ${digits(r.bandwidthGBs)} GB/s read + written by a shader (${r.bandwidthForm})`,
  `dispatch    ${digits(r.dispatchMicroseconds)} µs each of 100 empty ones, ${digits(r.recordMicroseconds)} µs of CPU to record and submit one`,
  `submit      ${digits(r.submitAndWaitMs)} ms until one empty dispatch is known to be done`,
  `readback    ${digits(r.readbackMs)} ms for 16 bytes`,
];

export const wholeText = ({ name, dtype, value, unit, p10, p90 }: WholeResult): string =>
  `${name.padEnd(48)} ${dtype} ${digits(value).padStart(9)} ${unit}` +
  (p10 === undefined || p90 === undefined ? "" : ` (p10 ${digits(p10)}, p90 ${digits(p90)})`);
