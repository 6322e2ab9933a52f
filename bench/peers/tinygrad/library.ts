/** tinygrad, in a process of its own: a library like the others, whose runs are lines that it reads. */
import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import type { Library, Way } from "../library.js";
import type { Problem } from "../problem.js";

interface Hello {
  version: string;
  beam: number;
  adapter: Pick<GPUAdapterInfo, "vendor" | "architecture" | "device" | "description">;
}

/**
 * @param python an interpreter that has requirements.txt
 * @param script worker.py
 * @throws Error if it does not start; what it says of why is on stderr
 */
export async function openTinygrad(python: string, script: string): Promise<Library> {
  const child = spawn(python, [script], { stdio: ["pipe", "pipe", "inherit"] });
  child.stdin.on("error", () => undefined); // that it has ended is said where its answer is awaited
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const failed = new Promise<never>((_, reject) => child.on("error", reject));
  const answer = async (): Promise<string> => {
    const { done, value } = await Promise.race([lines.next(), failed]);
    if (done) throw new Error("tinygrad: its process has ended");
    return value;
  };
  const { version, beam, adapter } = JSON.parse(await answer()) as Hello;
  const send = (...command: unknown[]): void => void child.stdin.write(`${JSON.stringify(command)}\n`);
  const ask = async (...command: unknown[]): Promise<void> => {
    send(...command);
    const { error } = JSON.parse(await answer()) as { error: string | null };
    if (error !== null) throw new Error(error);
  };

  const folder = await mkdtemp(path.join(os.tmpdir(), "webgpu-diffusers-tinygrad-"));
  const inFolder = (name: string): string => path.join(folder, name);
  const ways = async ({ shape, inputs }: Problem): Promise<Way[]> => {
    const files = inputs.map((_, i) => inFolder(`${i}.f32`));
    await Promise.all(inputs.map((values, i) => writeFile(files[i], values)));
    await ask("prepare", shape, files);
    const result = async (): Promise<Float32Array> => {
      await ask("result", inFolder("y.f32"));
      const { buffer, byteOffset, byteLength } = await readFile(inFolder("y.f32"));
      return new Float32Array(buffer.slice(byteOffset, byteOffset + byteLength));
    };
    // A process that has ended has let go of all; the next op says that it has ended.
    const dispose = (): Promise<void> => ask("release").catch(() => undefined);
    const name = beam > 0 ? `BEAM=${beam}` : "no BEAM";
    return [{ name, result, run: () => send("run"), dispose }];
  };
  type Hear = (event: { error: Error }) => void;
  const listeners = new Set<Hear>();
  // As much of a device as is asked for here. What a run complains of is heard when its end is awaited.
  const device = {
    adapterInfo: { ...adapter, isFallbackAdapter: false },
    features: new Set<string>(),
    queue: {
      onSubmittedWorkDone: () =>
        ask("synchronize").catch((error: Error) => listeners.forEach((hear) => hear({ error }))),
    },
    addEventListener: (_: string, hear: Hear) => listeners.add(hear),
    removeEventListener: (_: string, hear: Hear) => listeners.delete(hear),
  } as unknown as GPUDevice;
  const close = async (): Promise<void> => {
    child.stdin.end();
    await rm(folder, { recursive: true });
  };
  return { name: "tinygrad", version, device, ways, flush: () => undefined, close };
}
