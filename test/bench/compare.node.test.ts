// The comparison where libraries, or all of it, break.
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { expect, test, vi } from "vitest";
import { comparePeers } from "../../bench/peers/compare.js";
import type { Library, Source } from "../../bench/peers/library.js";
import { main } from "../../bench/peers/main.js";
import type { Problem } from "../../bench/peers/problem.js";
import type { PeerResult } from "../../bench/results.js";
import { sample } from "../cases/data.js";

/** A library whose results are the reference's. @param run after the first, which is checked */
function source(name: string, run: () => void): Source & { closed: boolean } {
  const adapterInfo = { vendor: "v", architecture: "a", device: "", description: "", isFallbackAdapter: true };
  const queue = { onSubmittedWorkDone: () => Promise.resolve() };
  const nothing = (): void => undefined;
  const device = {
    adapterInfo,
    queue,
    addEventListener: nothing,
    removeEventListener: nothing,
  } as unknown as GPUDevice;
  const ways = async ({ bench, reference }: Problem): Promise<Awaited<ReturnType<Library["ways"]>>> => {
    const values = new Float32Array(bench.size);
    for (const i of sample(bench.size, bench.most ?? 256)) values[i] = reference(i); // what the check compares
    return [{ name: "f", result: async () => values, run, dispose: run }];
  };
  const made = {
    name,
    closed: false,
    open: async (): Promise<Library> => {
      return { name, version: "", device, ways, flush: nothing, close: () => void (made.closed = true) };
    },
  };
  return made;
}

test("what fails while it is timed, and when it lets go, has no time; the rest goes on", async () => {
  const broken = (): void => {
    throw new Error("the device is lost\nand more");
  };
  const sources = [source("ours", () => undefined), source("broken", broken), source("good", () => undefined)];
  const rows: PeerResult[] = [];
  const options = {
    quick: true,
    filter: "norm",
    begin: () => undefined,
    emit: (row: PeerResult) => void rows.push(row),
  };
  await comparePeers(sources, options);
  expect(rows.length).toBeGreaterThan(1);
  for (const { ways } of rows) {
    const told = ways.map(({ library, status, ms, message }) => [library, status, ms === undefined, message]);
    expect(told).toEqual([
      ["ours", "ok", false, undefined],
      ["broken", "failed", true, "the device is lost"],
      ["good", "ok", false, undefined],
    ]);
  }
  expect(sources.every(({ closed }) => closed)).toBe(true);
});

test("a command that finds nothing leaves no file of results", async () => {
  const folder = await mkdtemp(path.join(os.tmpdir(), "webgpu-diffusers-peers-"));
  const said = vi.spyOn(console, "error").mockImplementation(() => undefined);
  const nowhere = (): Promise<void> => Promise.reject(new Error("no adapter"));
  try {
    const packages = ["onnxruntime-web", "@jax-js/jax", "@tensorflow/tfjs-backend-webgpu"];
    for (const place of ["", ...packages.map((name) => path.join("bench", "peers", "node_modules", name))]) {
      await mkdir(path.join(folder, "root", place), { recursive: true });
      await writeFile(path.join(folder, "root", place, "package.json"), '{ "version": "1.0.0" }');
    }
    const args = ["--json", path.join(folder, "none.jsonl")];
    await main(args, path.join(folder, "root"), { node: nowhere, chrome: nowhere });
    expect(process.exitCode).toBe(1);
    expect(said.mock.calls.join()).toContain("no adapter");
    expect(await readdir(folder)).toEqual(["root"]);
  } finally {
    process.exitCode = undefined;
    said.mockRestore();
    await rm(folder, { recursive: true });
  }
});
