/** Runs the built command as a user does. */
import { spawn } from "node:child_process";
import { closeSync, existsSync, openSync } from "node:fs";
import { fileURLToPath } from "node:url";

const MAIN = fileURLToPath(new URL("../../dist/src/cli/main.js", import.meta.url));

export interface Outcome {
  /** Exit code; null when a signal ended it. */
  code: number | null;
  stdout: string;
  /** Without the lines that Dawn writes on its own. */
  stderr: string;
}

export interface RunOptions {
  env?: Record<string, string>;
  /** Send Ctrl-C so many milliseconds after the start. */
  interruptAfter?: number;
  /** Send it when this resolves, or once this is on stdout. */
  interruptWhen?: Promise<unknown>;
  interruptAt?: RegExp;
  /** Another built command than that of this clone, and another working directory. */
  main?: string;
  cwd?: string;
  /** Where its stdout goes, instead of into the outcome. */
  stdoutTo?: string;
}

/** @throws Error if the package is not built */
export async function runCLI(
  args: readonly string[],
  { env, interruptAfter, interruptWhen, interruptAt, main = MAIN, cwd, stdoutTo }: RunOptions = {},
): Promise<Outcome> {
  if (!existsSync(main)) throw new Error(`${main} is missing: run \`npm run build\` first (\`npm test\` does)`);
  const to = stdoutTo === undefined ? "pipe" : openSync(stdoutTo, "w");
  const child = spawn(process.execPath, [main, ...args], {
    cwd,
    env: { ...process.env, DEBUG: "", ...env },
    stdio: ["ignore", to, "pipe"],
  });
  if (to !== "pipe") closeSync(to);
  const timer = interruptAfter === undefined ? undefined : setTimeout(() => child.kill("SIGINT"), interruptAfter);
  void interruptWhen?.then(() => child.kill("SIGINT"));
  let [stdout, stderr] = ["", ""];
  let waits = interruptAt !== undefined;
  child.stdout?.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
    if (!waits || !interruptAt!.test(stdout)) return;
    waits = false;
    child.kill("SIGINT");
  });
  child.stderr!.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  const code = await new Promise<number | null>((resolve, reject) => child.on("error", reject).on("close", resolve));
  clearTimeout(timer);
  return { code, stdout, stderr: stderr.replace(/^Warning: .*\n/gm, "").trimEnd() };
}
