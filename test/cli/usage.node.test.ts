import { existsSync, statSync } from "node:fs";
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { EMBEDDED_MODEL, schedulerNames } from "../../src/index.js";
import { fixturePath } from "../support/files.js";
import { runCLI } from "./run_cli.js";

let folder: string;
let output: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), "webgpu-diffusers-usage-"));
  output = path.join(folder, "out.png");
  await writeFile(path.join(folder, "file"), "");
  await mkdir(path.join(folder, "folder.png"));
  await mkdir(path.join(folder, "empty"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Fails, says so in one line that starts with the program's name, and writes no file. */
async function expectFailure(args: string[], code: number, message: RegExp, env?: Record<string, string>) {
  const outcome = await runCLI(args, { env });
  expect(outcome.stderr.split("\n")).toHaveLength(1);
  expect(outcome.stderr).toMatch(/^webgpu-diffusers: /);
  expect(outcome.stderr).toMatch(message);
  expect(outcome.code).toBe(code);
  expect(existsSync(output)).toBe(false);
}

describe("wrong usage ends with 2 and a sentence", () => {
  const generate = (...args: string[]) => ["generate", "a", "-o", "OUTPUT", ...args];
  const compare = (...args: string[]) => ["compare", "a", "-o", "OUTPUT", ...args];
  const cases: [string[], RegExp][] = [
    [[], /no command given/],
    [["paint"], /unknown command "paint".*generate, compare, tune, info/],
    [["--verbose"], /unknown option "--verbose"/],
    [["help", "paint"], /unknown command "paint"/],
    [["generate", "-o", "OUTPUT"], /no prompt/],
    [["generate", "a", "red", "-o", "OUTPUT"], /one prompt expected, got 2.*"a red"/],
    [["generate", "a"], /no output file/],
    [["generate", "a", "-o", "picture.jpg"], /ends in \.png, got "picture\.jpg"/],
    [["generate", "a", "-o", "folder.png/"], /ends in \.png, got "folder\.png\/"/],
    [generate("--nosuch"), /unknown option '--nosuch'; there are .*--steps/],
    [generate("--steps"), /--steps/],
    [generate("--steps", "0"), /--steps must be a whole number of at least 1, got "0"/],
    [generate("--steps", "2.5"), /--steps .* got "2\.5"/],
    [generate("--count", "-1"), /--count/],
    [generate("--count", "1001"), /--count must be at most 1000, got "1001"/],
    [generate("--count", "100000000"), /--count must be at most 1000, got "100000000"/],
    [["info", "--count", "100000000"], /--count must be at most 1000/],
    [["tune", "--count", "100000000"], /--count must be at most 1000/],
    [generate("--guidance", "much"), /--guidance must be a number, got "much"/],
    [generate("--seed", "eight"), /--seed must be a whole number .* got "eight"/],
    [generate("--seed", "18446744073709551616"), /--seed .* 2\^64-1/],
    [generate("--size", "100"), /--size must be WIDTHxHEIGHT.* got "100"/],
    [generate("--size", "65x64"), /multiples of 8, got "65x64"/],
    [generate("--strength", "0.5"), /--strength needs --image FILE/],
    [generate("--image", "a.png", "--strength", "1.5"), /--strength must be a number from 0 to 1, got "1.5"/],
    [generate("--image-guidance", "near"), /--image-guidance must be a number, got "near"/],
    [generate("--lora-scale", "0.5"), /--lora-scale needs --lora FILE/],
    [generate("--lora", "a.safetensors", "--lora-scale", "much"), /--lora-scale must be a number, got "much"/],
    [generate("--token", "<cat>"), /--token needs --textual-inversion FILE/],
    [generate("--image", "a.png", "--size", "64x64"), /--size does not go with --image/],
    [generate("--size", "0x64"), /multiples of 8, got "0x64"/],
    [generate("--dtype", "int8"), /--dtype must be float32 or float16, got "int8"/],
    [generate("--scheduler", "DIMScheduler"), /Did you mean DDIMScheduler\? Known: .*PNDMScheduler/],
    [compare("--schedulers", "DDIM,Nosuch"), /unknown class "Nosuch"/],
    [compare("--steps", "5,,10"), /--steps .* got ""/],
    [["info", "all"], /info takes options only/],
  ];
  for (const [args, message] of cases)
    test(args.join(" ") || "(nothing)", async () => {
      const real = args.map((argument) => (argument === "OUTPUT" ? output : argument));
      await expectFailure(real, 2, message);
    });

  test("the help that explains is the command's", async () => {
    for (const [args, help] of [
      [["generate"], "generate --help"],
      [["paint"], "--help"],
      [["help", "paint"], "--help"],
    ] as const)
      expect((await runCLI(args)).stderr).toContain(`(webgpu-diffusers ${help} explains)`);
  });

  test("an unknown scheduler hears of all known ones", async () => {
    const { stderr } = await runCLI(generate("--scheduler", "Nosuch"));
    for (const name of schedulerNames()) expect(stderr).toContain(name);
  });
});

describe("failures end with 1 and a sentence", () => {
  const draw = (...args: string[]) => ["generate", "a", "--steps", "1", ...args];

  test("a model folder that is not there", () =>
    expectFailure(draw("-o", output, "--model", path.join(folder, "nosuch")), 1, /nosuch.*no such folder/));
  test("a model folder without a model", () =>
    expectFailure(draw("-o", output, "--model", path.join(folder, "empty")), 1, /model_index\.json: no such file/));
  for (const command of ["generate", "compare"])
    test(`${command} with a model that takes no prompt`, () =>
      expectFailure(
        [command, "a", "-o", output, "--model", fixturePath("models/repos/ddpm-cifar")],
        1,
        /ddpm-cifar: model_index\.json says _class_name = "DDPMPipeline"; the command line draws prompts/,
      ));
  test("an output folder that is not there", () =>
    expectFailure(draw("-o", path.join(folder, "nosuch", "a.png")), 1, /there is no folder .*nosuch/));
  test("an output folder that is a file", () =>
    expectFailure(draw("-o", path.join(folder, "file", "a.png")), 1, /file is not a folder/));
  test("an output file that is a folder", () =>
    expectFailure(draw("-o", path.join(folder, "folder.png")), 1, /folder\.png: cannot be written: it is a folder/));
  test("an output file that is a link to where there is no folder", async () => {
    const link = path.join(folder, "link.png");
    await symlink(path.join(folder, "nosuch", "a.png"), link);
    await expectFailure(draw("-o", link), 1, /link\.png: cannot be written: there is no folder .*nosuch/);
  });
  for (const args of [["--help"], ["info"]])
    test(`${args.join(" ")} onto a full disk`, async (context) => {
      if (!existsSync("/dev/full")) context.skip("only Linux has a disk that is always full");
      const { code, stderr } = await runCLI(args, { stdoutTo: "/dev/full" });
      expect(stderr).toMatch(/^webgpu-diffusers: standard output cannot be written: ENOSPC.*$/);
      expect(code).toBe(1);
    });
  for (const command of ["generate", "compare"])
    test(`${command} without an adapter`, () =>
      expectFailure(
        [command, "a", "-o", output],
        1,
        /no adapter matches WEBGPU_DIFFUSERS_ADAPTER=nosuch.*Cure: unset/,
        {
          WEBGPU_DIFFUSERS_ADAPTER: "nosuch",
        },
      ));

  test("DEBUG=1 shows the stack", async () => {
    const { code, stderr } = await runCLI(draw("-o", output, "--size", "7x7"), { env: { DEBUG: "1" } });
    expect(code).toBe(2);
    expect(stderr).toMatch(/^webgpu-diffusers: --size .*\nUsageError: .*\n +at /);
  });
});

describe("help and info", () => {
  test("--help, as a whole and per command", async () => {
    const whole = await runCLI(["--help"]);
    expect(whole.code).toBe(0);
    for (const command of ["generate", "compare", "info"]) {
      expect(whole.stdout).toContain(command);
      const { code, stdout, stderr } = await runCLI([command, "--help"]);
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
      expect(stdout).toMatch(new RegExp(`^Usage: webgpu-diffusers ${command}`));
    }
  });

  const same: [string[], string[]][] = [
    [["help"], ["--help"]],
    [
      ["help", "compare"],
      ["compare", "--help"],
    ],
    [["-v"], ["--version"]],
  ];
  for (const [args, asked] of same)
    test(`${args.join(" ")} is ${asked.join(" ")}`, async () => {
      const outcome = await runCLI(args);
      expect(outcome).toEqual(await runCLI(asked));
      expect(outcome.code).toBe(0);
    });

  test("--version", async () => {
    const { code, stdout } = await runCLI(["--version"]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^\d+\.\d+\.\d+\S*\n$/);
  });

  test("info lists versions, model and adapter", async () => {
    const { code, stdout, stderr } = await runCLI(["info"]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toContain(process.version);
    expect(stdout).toContain(new URL(EMBEDDED_MODEL).pathname);
    expect(stdout).toMatch(/^adapter: +\S/m);
    expect(stdout).toMatch(/^ {2}software: +(yes|no)/m);
    expect(stdout).toMatch(/^maxStorageBufferBindingSize: +\d+ bytes/m);
  });

  test("info tells the memory of a model, and of a size", async () => {
    const bytes = async (...args: string[]): Promise<number[]> => {
      const { code, stdout, stderr } = await runCLI(["info", ...args]);
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
      return [...stdout.matchAll(/^memory, .*: +(\d+) bytes/gm)].map(([, number]) => Number(number));
    };
    const [weights, peak] = await bytes("--dtype", "float32");
    expect(weights).toBeGreaterThan(14e6); // 3.8 million weights
    expect(peak).toBeGreaterThan(weights);
    const [halves, larger] = await bytes("--dtype", "float16", "--size", "128x128", "--count", "2");
    expect(halves / weights).toBeCloseTo(0.5, 2);
    expect(larger - halves).toBeGreaterThan(2 * (peak - weights)); // eight times the pixels in half of the bytes
    const [unconditional] = await bytes("--model", fixturePath("models/repos/ddpm-cifar"));
    expect(unconditional).toBeGreaterThan(0);
    expect(await bytes()).toEqual([]);
  });

  test("info without an adapter still tells the versions", async () => {
    const { code, stdout, stderr } = await runCLI(["info"], { env: { WEBGPU_DIFFUSERS_ADAPTER: "nosuch" } });
    expect(code).toBe(1);
    expect(stdout).toContain(process.version);
    expect(stderr).toMatch(/^webgpu-diffusers: .*no adapter matches WEBGPU_DIFFUSERS_ADAPTER=nosuch/);
  });
});

test("a build leaves the bin executable, so that npx runs it after a rebuild", (context) => {
  if (process.platform === "win32") context.skip("Windows has no execute bit");
  const bin = fileURLToPath(new URL("../../dist/src/cli/main.js", import.meta.url));
  expect(statSync(bin).mode & 0o111).toBe(0o111);
});
