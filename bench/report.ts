/** Results of one run or several as a page that needs nothing else: charts, and every number in tables. */
import { librariesOf, ratioOf } from "./peers/ratios.js";
import { complaints, meanLines, peerCell } from "./peers/peer_table.js";
import type { Line, OpResult, PeerResult, RunInfo, WholeResult } from "./results.js";
import { HEADINGS, headingOf } from "./sections.js";
import { stageSums } from "./stage_sums.js";
import { barChart, colorOf, escape, type Bar } from "./svg.js";
import { digits, DIRECT, rooflineText, runText, timeCells, variantText } from "./table.js";

/** The lines of one run. */
interface Run {
  info: RunInfo;
  lines: Line[];
}

export const STYLE = `body { font: 15px/1.45 system-ui, sans-serif; max-width: 1100px; margin: 2em auto; padding: 0 1em; color: #1a202c; background: #fff; }
figure { margin: 1.5em 0; } figcaption { font-weight: 600; margin-bottom: .5em; } svg { width: 100%; font-size: 11px; }
table { border-collapse: collapse; font-size: 12px; margin: 1em 0; } th, td { padding: 2px 8px; text-align: right; border-bottom: 1px solid #e2e8f0; }
th:nth-child(-n+3), td:nth-child(-n+3), td:last-child, th:last-child { text-align: left; } .bad { color: #c53030; }
pre { font-size: 12px; overflow-x: auto; } .mark { stroke: #a0aec0; stroke-dasharray: 3 3; }
.key { display: inline-block; width: .8em; height: .8em; margin-right: .4em; }
@media (prefers-color-scheme: dark) { body { color: #e2e8f0; background: #1a202c; } svg text { fill: #e2e8f0; } th, td { border-color: #4a5568; } }`;

/** @param lines of results files, in any order; @throws Error if there are none */
export function reportPage(lines: readonly Line[]): string {
  if (lines.length === 0) throw new Error("report: the files hold no results");
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>webgpu-diffusers: benchmark</title><style>${STYLE}</style></head><body>
<h1>webgpu-diffusers: benchmark</h1>
${reportBody(lines)}
</body></html>
`;
}

/** The charts and tables alone. */
export function reportBody(lines: readonly Line[]): string {
  const runs = groupRuns(lines);
  const series = runs.map(({ info }) => `${info.adapter}, ${info.date.slice(0, 16).replace("T", " ")}`);
  const chart = (title: string, bars: Bar[], format: (value: number) => string, more = {}): string =>
    barChart({ title, series, bars, format, ...more });
  const milliseconds = (value: number): string => `${digits(value)} ms`;
  const legend = series.map(
    (name, i) => `<span class="key" style="background:${colorOf(i)}"></span>${escape(name)}<br>`,
  );
  return `<p>${legend.join("")}</p>
${chart("Ops: percent of what the measured roofline of the adapter allows", opBars(runs, "percent"), (v) => `${digits(v)} %`, { mark: 100 })}
${chart("Ops: milliseconds, median (logarithmic)", opBars(runs, "ms"), milliseconds, { logarithmic: true })}
${HEADINGS.map(
  (heading) =>
    chart(`${heading}: milliseconds (logarithmic)`, wholeBars(runs, heading, "ms"), milliseconds, {
      logarithmic: true,
    }) +
    chart(`${heading}: GPU memory`, wholeBars(runs, heading, "MiB"), (v) => `${digits(v)} MiB`) +
    chart(`${heading}: pictures per second`, wholeBars(runs, heading, "pictures/s"), digits),
).join("")}
${runs.map(runSection).join("\n")}`;
}

function groupRuns(lines: readonly Line[]): Run[] {
  const runs = new Map<string, Run>();
  for (const line of lines) {
    const key = `${line.run.date} ${line.run.adapter}`;
    const run = runs.get(key) ?? { info: line.run, lines: [] };
    run.lines.push(line);
    runs.set(key, run);
  }
  return [...runs.values()].sort((a, b) => a.info.date.localeCompare(b.info.date));
}

/** One bar per label, with the value of every run that has it. */
function bars(runs: readonly Run[], entryOf: (line: Line) => readonly [label: string, value?: number] | null): Bar[] {
  const found = new Map<string, (number | undefined)[]>();
  runs.forEach(({ lines }, i) => {
    for (const line of lines) {
      const entry = entryOf(line);
      if (!entry) continue;
      const values = found.get(entry[0]) ?? runs.map(() => undefined);
      values[i] = entry[1];
      found.set(entry[0], values);
    }
  });
  return [...found].map(([label, values]) => ({ label, values }));
}

const opName = ({ op, label, dtype }: OpResult): string => `${op} ${label} ${dtype}`;

const opBars = (runs: readonly Run[], key: "percent" | "ms"): Bar[] =>
  bars(runs, (line) => (line.kind === "op" ? [opName(line), line[key]] : null));

const wholeBars = (runs: readonly Run[], heading: string, unit: WholeResult["unit"]): Bar[] =>
  bars(runs, (line) =>
    line.kind === "whole" && headingOf(line.name) === heading && line.unit === unit
      ? [`${line.name} ${line.dtype}`, line.value]
      : null,
  );

function runSection({ info, lines }: Run): string {
  const ops = lines.filter((line) => line.kind === "op");
  const whole = lines.filter((line) => line.kind === "whole");
  const peers = lines.filter((line) => line.kind === "peers");
  const roofline = lines.find((line) => line.kind === "roofline");
  const notes = [...(ops.some(({ doneFlops }) => doneFlops !== undefined) ? [DIRECT] : []), ...stageSums(lines)];
  return `<h2>${escape(info.adapter)}, ${escape(info.date)}</h2>
<pre>${escape([...runText(info), ...(roofline ? rooflineText(roofline) : [])].join("\n"))}</pre>
${peers.length > 0 ? peerSection(info, peers) : ""}
${table(["op", "shape", "dtype", "ms", "p10", "p90", "GFLOP/s", "GB/s", "% limit", "error", "variant"], ops.map(opCells))}
${notes.length > 0 ? `<pre>${escape(notes.join("\n"))}</pre>` : ""}
${table(
  ["measurement", "dtype", "unit", "value", "p10", "p90"],
  whole.map((w) => [w.name, w.dtype, w.unit, ...[w.value, w.p10, w.p90].map(digits)].map(escape)),
)}`;
}

/** Beside other libraries. */
function peerSection({ peers: versions = {} }: RunInfo, results: readonly PeerResult[]): string {
  const libraries = librariesOf(results);
  const rows = results.map((result) => {
    const { op, label, cutFrom, dtype } = result;
    const names = [op, cutFrom ? `${label} (of ${cutFrom})` : label, dtype].map(escape);
    const said = complaints(result).map(escape).join("<br>");
    return [...names, ...libraries.map((name) => peerCell(result, name)), digits(ratioOf(result)), said];
  });
  const names = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  return `<pre>${escape([names.join(", "), ...meanLines(results)].join("\n"))}</pre>
${table(["op, ms", "shape", "dtype", ...libraries, "best peer / ours", ""], rows)}`;
}

function opCells(result: OpResult): string[] {
  const { op, label, cutFrom, dtype, status, message = "", error } = result;
  const head = [op, cutFrom ? `${label} (of ${cutFrom})` : label, dtype].map(escape);
  const last =
    status === "ok"
      ? escape((result.pipelines ?? []).map(variantText).join(" + "))
      : status === "fused"
        ? "fused into another op"
        : `<span class="bad">${escape(`${status}: ${message}`)}</span>`;
  return [...head, ...timeCells(result), error === undefined ? "-" : error.toExponential(1), last];
}

/** Cells are HTML already, columns are not. */
function table(columns: readonly string[], rows: readonly (readonly string[])[]): string {
  if (rows.length === 0) return "";
  const body = rows.map((cells) => `<tr>${cells.map((cell) => `<td>${cell}</td>`).join("")}</tr>`);
  return `<table><tr>${columns.map((name) => `<th>${escape(name)}</th>`).join("")}</tr>\n${body.join("\n")}</table>`;
}
