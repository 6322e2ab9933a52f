// The library that talks to tinygrad's process, with a process in its place that doubles numbers.
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Library, Way } from "../../bench/peers/library.js";
import { problemOf } from "../../bench/peers/problem.js";
import { openTinygrad } from "../../bench/peers/tinygrad/library.js";

const WORKER = `
import { readFileSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
const say = (value) => console.log(JSON.stringify(value));
let [runs, files, error] = [0, [], null];
const commands = {
  prepare: (shape, given) => (files = given),
  result(file) {
    const { buffer, byteOffset, byteLength } = readFileSync(files[0]);
    writeFileSync(file, new Float32Array(buffer.slice(byteOffset, byteOffset + byteLength)).map((x) => 2 * x));
  },
  run() { if (++runs === 3) throw new Error("the third run"); },
  synchronize: () => undefined,
  release: () => process.exit(),
};
say({ version: "1.2", beam: 2, adapter: { vendor: "v", architecture: "a", device: "d", description: "" } });
for await (const line of createInterface({ input: process.stdin })) {
  const [command, ...given] = JSON.parse(line);
  try { commands[command](...given); } catch (problem) { error = problem.message; }
  if (command !== "run") { say({ error }); error = null; }
}`;

let folder: string;
let library: Library;
let way: Way;
const problem = problemOf({ op: "layernorm", rows: 2, C: 4, eps: 1e-5 });
beforeAll(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), "webgpu-diffusers-worker-"));
  await writeFile(path.join(folder, "worker.mjs"), WORKER);
  library = await openTinygrad(process.execPath, path.join(folder, "worker.mjs"));
  [way] = await library.ways(problem);
});
afterAll(async () => {
  await library.close();
  await rm(folder, { recursive: true });
});

describe("tinygrad's process", () => {
  test("says who it is", () => {
    expect(library).toMatchObject({ name: "tinygrad", version: "1.2", device: { adapterInfo: { device: "d" } } });
    expect(way.name).toBe("BEAM=2");
  });

  test("gets the numbers and gives its own", async () => {
    expect(Array.from(await way.result())).toEqual([...problem.inputs[0].map((x) => 2 * x)]);
  });

  test("runs without an answer each; what goes wrong is heard at the end of a batch", async () => {
    const heard: string[] = [];
    const hear = ({ error }: GPUUncapturedErrorEvent): void => void heard.push(error.message);
    library.device.addEventListener("uncapturederror", hear);
    for (let batch = 0; batch < 3; batch++) {
      await way.run();
      await way.run();
      await library.device.queue.onSubmittedWorkDone();
    }
    library.device.removeEventListener("uncapturederror", hear);
    expect(heard).toEqual(["the third run"]);
  });

  test("that has ended is an error, for each op", async () => {
    await way.dispose(); // nothing is left to let go of
    await expect(library.ways(problem)).rejects.toThrow("tinygrad: its process has ended");
  });

  test("that does not start is an error", async () => {
    await expect(openTinygrad(path.join(folder, "nosuch"), "worker")).rejects.toThrow(/ENOENT/);
    await expect(openTinygrad(process.execPath, path.join(folder, "nosuch.mjs"))).rejects.toThrow("has ended");
  });
});
