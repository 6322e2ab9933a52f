/** The command `webgpu-diffusers bench`: arguments and files. */
import { appendFileSync, existsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { dtypeOf, parse } from "../src/cli/arguments.js";
import { UsageError } from "../src/cli/errors.js";
import { checkWritable } from "../src/cli/output.js";
import { makeRepository } from "./make_repository.js";
import { servePage } from "./page/serve.js";
import { inChrome, inNode } from "./places.js";
import { print, printSummary } from "./print.js";
import { reportPage } from "./report.js";
import { parseLines, type Line, type RunInfo } from "./results.js";
import { asksForRealSize } from "./run.js";
import { runText } from "./table.js";

/**
 * Runs the command.
 * @param root the package's folder
 * @param signal stops between two measurements; what was measured is written
 */
export async function bench(args: string[], root: string, signal: AbortSignal): Promise<void> {
  if (args[0] === "report") return report(args.slice(1));
  const names = ["filter", "dtype", "json", "html", "where", "real-size"] as const;
  const { values, flags, positionals } = parse(args, names, ["quick", "tune", "serve"]);
  if (positionals.length > 0) throw new UsageError(`bench takes options only, got "${positionals.join(" ")}"`);
  if (flags.serve) {
    if (args.length > 1)
      throw new UsageError(`--serve takes no other options, got "${args.join(" ")}": its page has a form`);
    return servePage(root, process.env.PORT || "8080", signal);
  }
  const { filter = "", dtype, json, html, where = "node", "real-size": realSize } = values;
  if (where !== "node" && where !== "chrome") throw new UsageError(`--where must be node or chrome, got "${where}"`);
  if (realSize === "") throw new UsageError('--real-size must be a folder, got ""');
  if (realSize !== undefined && where === "chrome") throw new UsageError("--real-size reads a folder: in Node only");
  const asked = {
    quick: flags.quick,
    tune: flags.tune,
    filter,
    dtype: dtype === undefined ? undefined : dtypeOf(dtype),
  };
  for (const file of [json, html]) if (file !== undefined) await checkWritable([file], signal);
  if (realSize !== undefined && asksForRealSize(filter) && !existsSync(realSize)) {
    console.log(`writing a repository of 2.1 GB to ${realSize}`);
    await makeRepository(path.resolve(realSize), path.join(root, "models/shapes"), signal);
  }
  const { version } = JSON.parse(await readFile(path.join(root, "package.json"), "utf8")) as { version: string };

  let run: RunInfo | undefined;
  const lines: Line[] = [];
  try {
    await (where === "chrome" ? inChrome : inNode)({
      ...asked,
      root,
      version,
      signal,
      realSize: realSize && path.resolve(realSize),
      begin(info) {
        run = info;
        console.log(runText(run).join("\n"));
      },
      emit(result) {
        const line = { ...result, run: run! };
        lines.push(line);
        // At once: what was measured was measured, however the run ends.
        if (json !== undefined) appendFileSync(json, `${JSON.stringify(line)}\n`);
        print(result);
      },
    });
    printSummary(lines);
  } finally {
    // Also of a run that broke off.
    if (html !== undefined && lines.length > 0) await writeFile(html, reportPage(lines));
  }
}

/** `report FILE… -o FILE.html` */
async function report(args: string[]): Promise<void> {
  const { values, positionals } = parse(args, ["output"]);
  if (positionals.length === 0) throw new UsageError("report: no file of results given");
  if (values.output === undefined) throw new UsageError("report: no output file given; add -o FILE.html");
  await checkWritable([values.output]);
  const texts = await Promise.all(positionals.map(async (file) => parseLines(await read(file), file)));
  await writeFile(values.output, reportPage(texts.flat()));
  console.log(`${values.output}: ${texts.flat().length} results`);
}

/** @throws Error that names the file */
async function read(file: string): Promise<string> {
  return readFile(file, "utf8").catch((cause: Error) => {
    throw new Error(`report: ${file} cannot be read: ${cause.message}; bench --json FILE writes such files`, { cause });
  });
}
