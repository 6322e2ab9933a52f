// The package's model as a whole: what of it is measured.
import { expect, test } from "vitest";
import { Probe } from "../../bench/probe.js";
import type { WholeResult } from "../../bench/results.js";
import { measureWhole } from "../../bench/whole.js";
import { requestNodeGPU } from "../../src/tensor/gpu_node.js";

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
