import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { rowText, sumText } from "../../src/cli/tune.js";
import { runCLI } from "./run_cli.js";

let folder: string;
beforeAll(async () => void (folder = await mkdtemp(path.join(os.tmpdir(), "webgpu-diffusers-tune-"))));
afterAll(() => rm(folder, { recursive: true, force: true }));

const run = (...args: string[]): ReturnType<typeof runCLI> =>
  runCLI(args, { env: { WEBGPU_DIFFUSERS_TUNINGS: folder } });
const tunedOps = async (): Promise<string> => /^tuned ops: +(.*)$/m.exec((await run("info")).stdout)![1];

describe("webgpu-diffusers tune", () => {
  test("keeps what is faster in the folder, where later commands find it, until it is forgotten", async () => {
    const { code, stdout, stderr } = await run("tune", "--seconds", "1", "--guidance", "1");
    expect(stderr).toBe("");
    expect(code).toBe(0);
    expect(stdout).toMatch(/^1\/\d+ conv2d 3x3 .* float32.*: [\d.]+ ms, /);
    const [, faster] = /^(\d+) of \d+ ops are faster; all calls of them together: .* by rule, .* now$/m.exec(stdout)!;
    const [file] = await readdir(folder);
    expect(stdout.trimEnd().split("\n").at(-1)).toBe(`kept in ${path.join(folder, file)}`);
    expect(await tunedOps()).toBe(faster === "0" ? "none" : faster);

    const kept = JSON.parse(await readFile(path.join(folder, file), "utf8")) as { adapter: string; ways: unknown[] };
    expect(kept.ways).toHaveLength(Number(faster));
    const one = [...kept.ways, ["some op", { tile: { tileM: 3, tileN4: 1 } }]];
    await writeFile(path.join(folder, file), JSON.stringify({ ...kept, ways: one }));
    expect(await tunedOps()).toBe(String(one.length));
    const picture = path.join(folder, "picture.png");
    expect(await run("generate", "a red circle", "--steps", "1", "-o", picture)).toMatchObject({ code: 0, stderr: "" });

    expect(await run("tune", "--forget")).toMatchObject({ code: 0, stdout: "", stderr: "" });
    expect(await tunedOps()).toBe("none");

    // Of another adapter, as if two had one name for a file.
    await writeFile(path.join(folder, file), JSON.stringify({ ...kept, adapter: "another", ways: one }));
    expect(await tunedOps()).toBe("none");
    await writeFile(path.join(folder, file), "{");
    const { code: ofInfo, stdout: info, stderr: warning } = await run("info");
    expect([ofInfo, /^tuned ops: +none$/m.test(info)]).toEqual([0, true]);
    expect(warning).toMatch(/^webgpu-diffusers: what was tuned for .* cannot be read .*; rules choose the kernels\.$/);
  });

  test("Ctrl-C ends it; what was found is kept", async () => {
    const { code, stdout, stderr } = await runCLI(["tune"], {
      env: { WEBGPU_DIFFUSERS_TUNINGS: folder },
      interruptAt: /^2\//m,
    });
    expect([code, stderr]).toEqual([130, expect.stringContaining("interrupted")]);
    const [, faster, all] = /^(\d+) of (\d+) ops are faster/m.exec(stdout)!;
    expect(Number(all)).toBeGreaterThanOrEqual(2);
    expect(stdout).toMatch(/kept in .*\.json$/m);
    expect(await tunedOps()).toBe(faster === "0" ? "none" : faster);
    expect((await run("tune", "--forget")).code).toBe(0);
  });

  const wrong: [args: string[], message: RegExp][] = [
    [["a red circle"], /tune takes options only, got "a red circle"/],
    [["--seconds", "soon"], /--seconds must be a whole number of at least 1, got "soon"/],
    [["--size", "100x100"], /--size must be made of multiples of 8/],
    [["--model", "/nowhere"], /\/nowhere/],
  ];
  for (const [args, message] of wrong)
    test(`tune ${args.join(" ")} is refused`, async () => {
      const { code, stderr } = await run("tune", ...args);
      expect(stderr).toMatch(message);
      expect(code).toBeGreaterThan(0);
    });
});

test("a folder that cannot be written is told of, and the command goes on", async () => {
  const file = path.join(folder, "a file");
  await writeFile(file, "");
  const { code, stdout, stderr } = await runCLI(["tune", "--seconds", "1", "--guidance", "1"], {
    env: { WEBGPU_DIFFUSERS_TUNINGS: path.join(file, "below") },
  });
  expect(code).toBe(0);
  expect(stderr).toMatch(/cannot be read[^]*cannot be kept/);
  expect(stdout).toMatch(/kept nowhere/);
});

test("off: what was kept is left unused", async () => {
  const cache = path.join(folder, "cache");
  const env = { XDG_CACHE_HOME: cache, WEBGPU_DIFFUSERS_TUNINGS: "" };
  const tuned = async (more = {}): Promise<string> =>
    /^tuned ops: +(.*)$/m.exec((await runCLI(["info"], { env: { ...env, ...more } })).stdout)![1];
  expect((await runCLI(["tune", "--forget"], { env })).code).toBe(0);
  const tunings = path.join(cache, "webgpu-diffusers", "tunings");
  const file = path.join(tunings, (await readdir(tunings))[0]);
  const kept = JSON.parse(await readFile(file, "utf8")) as object;
  await writeFile(file, JSON.stringify({ ...kept, ways: [["some op", {}]] }));
  expect([await tuned(), await tuned({ WEBGPU_DIFFUSERS_TUNINGS: "off" })]).toEqual(["1", "none"]);
});

test("ops that are wrong by rule, and those that could not be measured, have no times that are none", () => {
  const row = { op: "matmul", calls: 2, ruleMs: 4, ms: 2, way: "a tile", tried: 3, refused: [], done: 1, total: 9 };
  const wrong = { ...row, ruleMs: Infinity };
  const none = { ...wrong, ms: Infinity, way: "by rule" };
  expect([row, { ...row, ms: 4 }, wrong, none].map(rowText)).toEqual([
    "1/9 matmul (2 times): 4.000 ms, 2.000 ms, 2.00 x as fast: a tile",
    "1/9 matmul (2 times): 4.000 ms, the fastest",
    "1/9 matmul (2 times): wrong by rule, 2.000 ms and right: a tile",
    "1/9 matmul (2 times): not measured",
  ]);
  expect(sumText([row, wrong, none], "here")).toBe(
    "2 of 3 ops are faster; all calls of them together: 8.000 ms by rule, 4.000 ms now\nkept in here",
  );
});
