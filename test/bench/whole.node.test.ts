// The package's model as a whole: what of it is measured.
import { expect, test } from "vitest";
import { Probe } from "../../bench/probe.js";
import type { WholeResult } from "../../bench/results.js";
import { measureRealSize } from "../../bench/real_size.js";
import { REAL_DECODE, REAL_SIZE, REAL_STEP } from "../../bench/sections.js";
import { measureWhole } from "../../bench/whole.js";
import { requestNodeGPU } from "../../src/tensor/gpu_node.js";

test("of a model like Stable Diffusion 1.5 the step and the decode that stand beside the sums of ops are measured", async () => {
  const probe = await Probe.create((await (await requestNodeGPU()).requestAdapter())!);
  const model = new URL("../../models/shapes/", import.meta.url).href;
  const found = new Map<string, number>();
  try {
    for await (const { name, value } of measureRealSize(probe, { model, dtype: "float16" })) found.set(name, value);
  } finally {
    probe.device.destroy();
  }
  for (const name of ["load", "weights", REAL_STEP, REAL_DECODE, "peak above the weights, with the VAE"])
    expect(found.get(`${REAL_SIZE}, ${name}`), name).toBeGreaterThan(0);
});

test("the step that is taken apart by kernel is timed as it is replayed, too", async () => {
  const probe = await Probe.create((await (await requestNodeGPU()).requestAdapter())!);
  const model = new URL("../../models/shapes/", import.meta.url).href;
  const found = new Map<string, WholeResult>();
  try {
    for await (const result of measureWhole(probe, { model, dtype: "float32", steps: 1 }))
      found.set(result.name, result);
  } finally {
    probe.device.destroy();
  }
  const replay = found.get("UNet step, batch 2 (replay)");
  expect(replay?.p90).toBeGreaterThanOrEqual(replay!.value);
  const kernels = [...found.keys()].filter((name) => name.startsWith("UNet step, batch 2 (replay), "));
  if (kernels.length > 0) expect(kernels[0]).toBe("UNet step, batch 2 (replay), sum of its dispatches");
  for (const { name, value } of found.values()) expect(value, name).toBeGreaterThan(0);
});
