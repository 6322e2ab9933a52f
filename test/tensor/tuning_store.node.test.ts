import { mkdtemp, readdir, rm } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { expect, test, vi } from "vitest";
import { adapterKey, readWays, storeTunings, writeWays } from "../../src/tensor/tuning/store.js";
import { Tunings } from "../../src/tensor/tuning/tunings.js";
import * as gpu from "../support/gpu.js";

test("what is stored is what was measured, beside what other processes have stored meanwhile", async () => {
  const folder = await mkdtemp(path.join(os.tmpdir(), "webgpu-diffusers-tunings-"));
  vi.stubEnv("WEBGPU_DIFFUSERS_TUNINGS", folder);
  try {
    const { adapterInfo, features } = await gpu.testDevice();
    const adapter = { adapterInfo, features };
    const old = { winograd: true };
    const tunings = new Tunings(new Map([["forgotten elsewhere", old]]));
    await writeWays(
      adapter,
      new Map([
        ["of another", old],
        ["both", old],
        ["by rule now", old],
      ]),
    );
    const way = { phases: true };
    tunings.kept.set("both", way).set("own", way);
    for (const key of ["both", "own", "by rule now"]) tunings.measured.add(key);
    // At once, as two devices may.
    const device = { ...adapter, tunings };
    const places = await Promise.all([storeTunings(device), storeTunings(device), storeTunings(device)]);
    expect(await readdir(folder)).toEqual([path.basename(places[0]!)]);
    expect(new Set(places).size).toBe(1);
    expect([...(await readWays(adapterKey(adapter)))].sort()).toEqual([
      ["both", way],
      ["of another", old],
      ["own", way],
    ]);
  } finally {
    vi.unstubAllEnvs();
    await rm(folder, { recursive: true });
  }
});
