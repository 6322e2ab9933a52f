import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { runCLI } from "../cli/run_cli.js";

const SCRIPT = fileURLToPath(new URL("../../scripts/bench.mjs", import.meta.url));

async function bench(...args: string[]): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const child = spawn(process.execPath, [SCRIPT, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  let [stdout, stderr] = ["", ""];
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  const code = await new Promise<number | null>((resolve, reject) => child.on("error", reject).on("close", resolve));
  return { code, stdout, stderr };
}

let folder: string;
beforeAll(async () => void (folder = await mkdtemp(path.join(os.tmpdir(), "webgpu-diffusers-bench-"))));
afterAll(() => rm(folder, { recursive: true, force: true }));

describe("npm run bench", () => {
  const cases: [string[], RegExp][] = [
    [["--nosuch"], /unknown option '--nosuch'; there are --filter, --dtype, --json, --real-size, --quick/],
    [["all"], /bench takes options only, got "all"/],
    [["--dtype", "int8"], /--dtype must be float32 or float16, got "int8"/],
    [["report", "-o", "FILE"], /report: no file of results given/],
  ];
  for (const [args, message] of cases)
    test(`${args.join(" ")} is wrong usage`, async () => {
      const { code, stderr } = await bench(...args);
      expect(stderr).toMatch(message);
      expect(code).toBe(2);
    });

  test("--json in a folder that is not there fails before anything is measured", async () => {
    const { code, stdout, stderr } = await bench("--json", path.join(folder, "nosuch", "results.jsonl"));
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toMatch(/^webgpu-diffusers: .*nosuch/);
  });

  test("report writes a page", async () => {
    const run = { date: "2026-01-02T03:04:05Z", adapter: "an adapter", features: [], loadAverage: 0, clock: "wall" };
    const [results, page] = [path.join(folder, "results.jsonl"), path.join(folder, "report.html")];
    const line = { kind: "whole", name: "load", dtype: "float32", value: 12, unit: "ms", run };
    await writeFile(results, `${JSON.stringify(line)}\n`);
    const { code, stdout } = await bench("report", results, "-o", page);
    expect({ code, stdout }).toEqual({ code: 0, stdout: `${page}: 1 results\n` });
    expect(await readFile(page, "utf8")).toContain("load float32");
  });
});

describe("webgpu-diffusers bench", () => {
  test("--help names the options", async () => {
    const { code, stdout } = await runCLI(["bench", "--help"]);
    expect(code).toBe(0);
    for (const option of ["--quick", "--filter", "--dtype", "--json", "report"]) expect(stdout).toContain(option);
  });

  test("in a clone, it runs the benchmarks and ends with their exit code", async () => {
    const { code, stderr } = await runCLI(["bench", "--dtype", "int8"]);
    expect(stderr).toMatch(/^webgpu-diffusers: --dtype must be float32 or float16, got "int8"/);
    expect(code).toBe(2);
  });
});
