/** The command `webgpu-diffusers bench`: arguments, files, and the terminal. */
import { existsSync } from "node:fs";
import { appendFile, readFile, writeFile } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { dtypeOf, parse } from "../src/cli/arguments.js";
import { UsageError } from "../src/cli/errors.js";
import { releaseNodeGPU, requestNodeGPU } from "../src/tensor/gpu_node.js";
import type { Timer } from "./harness.js";
import { makeRepository } from "./make_repository.js";
import { reportPage } from "./report.js";
import { parseLines, type OpResult, type Result, type RunInfo } from "./results.js";
import { runSuite } from "./run.js";
import { rooflineText, runText, stageSums, tableHead, tableRow, wholeText } from "./table.js";

/**
 * Runs the command.
 * @param root the package's folder
 * @param signal stops between two measurements; what was measured is written
 */
export async function bench(args: string[], root: string, signal: AbortSignal): Promise<void> {
  if (args[0] === "report") return report(args.slice(1));
  const { values, flags, positionals } = parse(args, ["filter", "dtype", "json", "real-size"], ["quick"]);
  if (positionals.length > 0) throw new UsageError(`bench takes options only, got "${positionals.join(" ")}"`);
  const { filter, dtype, json, "real-size": realSize } = values;
  const dtypes = dtype === undefined ? (["float32", "float16"] as const) : [dtypeOf(dtype)];
  if (realSize !== undefined && !existsSync(realSize)) {
    console.log(`writing a repository of 2.1 GB to ${realSize}`);
    await makeRepository(path.resolve(realSize), path.join(root, "models/shapes"));
  }
  if (json !== undefined) await appendFile(json, ""); // to hear of a wrong folder before, not after
  const { version } = JSON.parse(await readFile(path.join(root, "package.json"), "utf8")) as { version: string };
  const loadAverage = os.loadavg()[0];

  let run: RunInfo | undefined;
  const lines: string[] = [];
  try {
    const gpu = await requestNodeGPU();
    const results = await runSuite({
      ...{
        quick: flags.quick,
        filter,
        realSize: realSize && path.resolve(realSize),
        dtypes,
        signal,
        model: pathToFileURL(path.join(root, "models/shapes/")).href,
      },
      adapter: async () => (await gpu.requestAdapter({ powerPreference: "high-performance" }))!,
      begin(timer) {
        run = runInfo(timer, { version, loadAverage, quick: flags.quick });
        console.log(runText(run).join("\n"));
      },
      emit(result) {
        lines.push(`${JSON.stringify({ ...result, run })}\n`);
        print(result);
      },
    });
    summary(results, !flags.quick && filter === undefined);
  } finally {
    releaseNodeGPU();
    // Also of a run that broke off: what was measured was measured.
    if (json !== undefined) await appendFile(json, lines.join(""));
  }
}

let section = "";
function print(result: Result): void {
  if (result.kind !== section) {
    section = result.kind;
    if (section === "op") console.log(`\n${tableHead()}`);
    else if (section === "whole") console.log("\nthe package's model, a new device");
  }
  if (result.kind === "op") console.log(tableRow(result));
  else if (result.kind === "whole") console.log(wholeText(result));
  else console.log(rooflineText(result).join("\n"));
}

/** @param complete whether all ops of every stage were asked for, so that their sum means something */
function summary(results: readonly OpResult[], complete: boolean): void {
  if (results.some(({ cutFrom }) => cutFrom)) console.log("\n* smaller than in Stable Diffusion 1.5, for this adapter");
  for (const dtype of complete ? new Set(results.map((result) => result.dtype)) : [])
    for (const line of stageSums(results.filter((result) => result.dtype === dtype))) console.log(`${line}, ${dtype}`);
  const wrong = results.filter(({ status }) => status === "wrong" || status === "failed");
  if (wrong.length > 0) throw new Error(`${wrong.length} of ${results.length} ops are wrong or failed`);
}

function runInfo(
  { probe: { device }, clock }: Timer,
  { version, loadAverage, quick }: Pick<RunInfo, "version" | "loadAverage" | "quick">,
): RunInfo {
  const { description, device: name, vendor, architecture } = device.adapterInfo;
  return {
    ...{
      date: new Date().toISOString(),
      version,
      node: process.version,
      platform: `${process.platform}-${process.arch}`,
    },
    ...{ cpu: `${os.cpus().length} x ${os.cpus()[0]?.model.trim()}`, loadAverage, quick, clock },
    ...{ adapter: name || description || "unknown", vendor, architecture, driver: description },
    ...{ software: device.isSoftware, features: [...device.features].sort() },
  };
}

/** `report FILE… -o FILE.html` */
async function report(args: string[]): Promise<void> {
  const { values, positionals } = parse(args, ["output"]);
  if (positionals.length === 0) throw new UsageError("report: no file of results given");
  if (values.output === undefined) throw new UsageError("report: no output file given; add -o FILE.html");
  const texts = await Promise.all(positionals.map(async (file) => parseLines(await readFile(file, "utf8"), file)));
  await writeFile(values.output, reportPage(texts.flat()));
  console.log(`${values.output}: ${texts.flat().length} results`);
}
