import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";

/**
 * `webgpu-diffusers bench`: runs the benchmarks of the clone that this package is built in. They compare with the
 * references of the tests, which the published package leaves out.
 * @throws Error in an installed package
 */
export async function bench(args: string[]): Promise<void> {
  const root = path.dirname(createRequire(import.meta.url).resolve("webgpu-diffusers/package.json"));
  const script = path.join(root, "scripts", "bench.mjs");
  if (!existsSync(script) || !existsSync(path.join(root, "bench", "main.ts")))
    throw new Error(
      `bench: the benchmarks are not part of the installed package (${root}). ` +
        "Clone the repository, then: npm install && npm run bench",
    );
  const child = spawn(process.execPath, [script, ...args], { stdio: "inherit" });
  const code = await new Promise<number | null>((resolve, reject) => child.on("error", reject).on("close", resolve));
  process.exitCode = code ?? 130; // ended by Ctrl-C, which the terminal sent to it too
}
