#!/usr/bin/env node
/** The command `webgpu-diffusers`. Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted. */
import { reportError, UsageError } from "./errors.js";
import { helpOf, isCommand, type Command } from "./help.js";

type Run = (args: string[], signal: AbortSignal) => Promise<void>;

// Loaded when they are called, so that --help is quick and Ctrl-C is heard from the start.
const COMMANDS: Record<Command, () => Promise<Run>> = {
  generate: async () => (await import("./generate.js")).generate,
  compare: async () => (await import("./compare.js")).compare,
  tune: async () => (await import("./tune.js")).tuneKernels,
  info: async () => (await import("./info.js")).info,
  bench: async () => (await import("./bench.js")).bench,
};

async function main([name, ...args]: string[], signal: AbortSignal): Promise<void> {
  if (name === "--help" || name === "-h") return console.log(helpOf());
  if (name === "help") return main([...args, "--help"], signal);
  if (name === "--version" || name === "-v") return console.log((await import("./package.js")).packageVersion());
  const known = Object.keys(COMMANDS).join(", ");
  if (name === undefined) throw new UsageError(`no command given; there are ${known}`);
  if (!isCommand(name))
    throw new UsageError(`unknown ${name.startsWith("-") ? "option" : "command"} "${name}"; the commands are ${known}`);
  if (args.includes("--help") || args.includes("-h")) return console.log(helpOf(name));
  const run = await COMMANDS[name]();
  await run(args, signal);
}

const interrupt = new AbortController();
process.on("SIGINT", () => {
  if (interrupt.signal.aborted) process.exit(130); // the second Ctrl-C does not wait for the step to end
  interrupt.abort();
});
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(0); // `webgpu-diffusers info | head -1` closes the pipe early; that is no failure
  // Told once, and the work goes on: its pictures and results are files.
  process.exitCode ??= reportError(new Error(`standard output cannot be written: ${error.message}`), false);
});

const args = process.argv.slice(2);
try {
  await main(args, interrupt.signal);
} catch (error) {
  process.exitCode = reportError(error, interrupt.signal.aborted, args.slice(0, 1).find(isCommand));
}
