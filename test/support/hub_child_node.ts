// Runs a download in a process of its own, which a test may kill.

import { spawn } from "node:child_process";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** Counts the calls that change files; the process kills itself before or after the n-th. */
const SCRIPT = `
  import fs from "node:fs/promises";
  import { syncBuiltinESMExports } from "node:module";
  import { openHubRepository } from "./src/loader/hub/hub_repository_node.ts";

  const { endpoint, cacheDir, id, revision, file, killAt, killWhen } = JSON.parse(process.argv[2]);
  let calls = 0;
  const die = (when) => {
    if (calls === killAt && when === killWhen) process.kill(process.pid, "SIGKILL");
  };
  for (const name of ["open", "rename", "symlink", "mkdir", "writeFile", "rm"]) {
    const original = fs[name];
    fs[name] = async (...given) => {
      calls++;
      die("before");
      const result = await original(...given);
      die("after");
      return result;
    };
  }
  syncBuiltinESMExports();
  const repository = await openHubRepository(id, { endpoint, cacheDir, revision });
  const before = process.resourceUsage().maxRSS;
  const opened = await repository.open(file);
  const megabytes = (process.resourceUsage().maxRSS - before) / 1024;
  process.stdout.write(JSON.stringify({ size: opened?.size, calls, megabytes }));
`;

/** Bundles the script into a folder, from where runChild() starts it. */
export async function bundleChild(folder: string): Promise<string> {
  const outfile = path.join(folder, "child.mjs");
  await build({
    stdin: { contents: SCRIPT, resolveDir: ROOT, loader: "ts" },
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node20",
    outfile,
    logLevel: "error",
    alias: { "@huggingface/hub": path.join(ROOT, "node_modules/@huggingface/hub/dist/index.mjs") },
    banner: { js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);' },
  });
  return outfile;
}

export interface ChildOptions {
  endpoint: string;
  cacheDir: string;
  id: string;
  revision: string;
  file: string;
  killAt?: number;
  killWhen?: "before" | "after";
}

export interface ChildResult {
  size?: number;
  /** Calls that change files. */
  calls: number;
  /** By which the process grew while it loaded. */
  megabytes: number;
}

export interface Child {
  pid: number;
  kill(): void;
  /** "killed", or what it wrote. */
  ended: Promise<"killed" | ChildResult>;
}

export function runChild(script: string, options: ChildOptions): Child {
  const child = spawn(process.execPath, [script, JSON.stringify(options)], { stdio: ["ignore", "pipe", "pipe"] });
  let out = "";
  let errors = "";
  child.stdout.on("data", (data) => (out += String(data)));
  child.stderr.on("data", (data) => (errors += String(data)));
  const ended: Child["ended"] = new Promise((resolve, reject) =>
    child.on("close", (code, signal) => {
      if (signal === "SIGKILL") resolve("killed");
      else if (code === 0) resolve(JSON.parse(out) as ChildResult);
      else reject(new Error(`child ended with ${code ?? signal}: ${errors}`));
    }),
  );
  return { pid: child.pid as number, kill: () => void child.kill("SIGKILL"), ended };
}
