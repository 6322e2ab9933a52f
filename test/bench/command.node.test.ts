import { existsSync, statSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { parseLines } from "../../bench/results.js";
import { runCLI, type Outcome } from "../cli/run_cli.js";

const bench = (...args: string[]): Promise<Outcome> => runCLI(["bench", ...args]);

let folder: string;
beforeAll(async () => void (folder = await mkdtemp(path.join(os.tmpdir(), "webgpu-diffusers-bench-"))));
afterAll(() => rm(folder, { recursive: true, force: true }));

describe("webgpu-diffusers bench", () => {
  const cases: [string[], RegExp][] = [
    [
      ["--nosuch"],
      /unknown option '--nosuch'; there are --filter, --dtype, --json, --html, --where, --real-size, --quick, --tune, --serve/,
    ],
    [["all"], /bench takes options only, got "all"/],
    [["--dtype", "int8"], /--dtype must be float32 or float16, got "int8"/],
    [["--where", "deno"], /--where must be node or chrome, got "deno"/],
    [["--where", "chrome", "--real-size", "."], /--real-size reads a folder: in Node only/],
    [["--real-size", ""], /--real-size must be a folder, got ""/],
    [["--serve", "--dtype", "int8"], /--serve takes no other options, got "--serve --dtype int8": its page has a form/],
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

  test("--serve on what is no port says so", async () => {
    const { code, stdout, stderr } = await runCLI(["bench", "--serve"], { env: { PORT: "abc" } });
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toBe(
      "webgpu-diffusers: bench: cannot listen on port abc: a port is a whole number from 0 to 65535. Choose another one with PORT=8081",
    );
  });

  test("report names the file that is not there", async () => {
    const { code, stderr } = await bench("report", "nosuch.jsonl", "-o", path.join(folder, "never.html"));
    expect(stderr).toMatch(
      /^webgpu-diffusers: report: nosuch\.jsonl cannot be read: ENOENT.*; bench --json FILE writes/,
    );
    expect(code).toBe(1);
    const other = await bench("report", "nosuch.jsonl", "-o", path.join(folder, "nosuch", "never.html"));
    expect(other.stderr).toMatch(/never\.html: cannot be written: there is no folder/);
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

  test("what is measured is in --json at once, and Ctrl-C stops between two measurements", async () => {
    const json = path.join(folder, "interrupted.jsonl");
    const args = ["bench", "--quick", "--filter", "norm", "--json", json];
    const hasLines = (): boolean => existsSync(json) && statSync(json).size > 0;
    const interruptWhen = vi.waitUntil(hasLines, { timeout: 60_000 });
    const { code, stderr, stdout } = await runCLI(args, { interruptWhen });
    expect({ code, stderr }).toEqual({ code: 130, stderr: "webgpu-diffusers: interrupted" });
    expect(stdout).not.toContain("float16");
    expect(parseLines(await readFile(json, "utf8"), json).map(({ kind }) => kind)).toContain("roofline");
  });

  test("Ctrl-C while the model of real size is written leaves nothing of it", async () => {
    const model = path.join(folder, "stopped");
    const { code, stderr } = await runCLI(["bench", "--real-size", model], { interruptAt: /writing a repository/ });
    expect({ code, stderr }).toEqual({ code: 130, stderr: "webgpu-diffusers: interrupted" });
    expect((await readdir(folder)).filter((name) => name.startsWith("stopped"))).toEqual([]);
  });

  test("the model of real size is not made where the filter leaves it out", async () => {
    const model = path.join(folder, "unused");
    const { code, stdout, stderr } = await bench("--real-size", model, "--filter", "nosuch");
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toContain('no op contains "nosuch"');
    expect(existsSync(model)).toBe(false);
  });

  test("a run that finds nothing leaves no file", async () => {
    const files = ["none.jsonl", "none.html"].map((name) => path.join(folder, name));
    const { code } = await bench("--filter", "nosuch", "--json", files[0], "--html", files[1]);
    expect({ code, left: files.filter(existsSync) }).toEqual({ code: 1, left: [] });
  });

  test("--help names the options", async () => {
    const { code, stdout } = await bench("--help");
    expect(code).toBe(0);
    for (const option of [
      "--quick",
      "--tune",
      "--filter",
      "--dtype",
      "--json",
      "--html",
      "--where",
      "--serve",
      "report",
    ])
      expect(stdout).toContain(option);
  });
});
