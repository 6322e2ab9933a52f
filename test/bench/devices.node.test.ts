import { expect, test, vi } from "vitest";
import { measureDevices } from "../../bench/devices.js";
import { FlaxStableDiffusionPipeline } from "../../src/pipelines/flax/flax_stable_diffusion.js";

test("many devices run in the dtype that is asked for", async () => {
  const load = vi.spyOn(FlaxStableDiffusionPipeline, "fromPretrained").mockRejectedValue(new Error("asked"));
  await expect(measureDevices("a model", "float16").next()).rejects.toThrow("asked");
  expect(load).toHaveBeenCalledWith("a model", { dtype: "float16" });
  load.mockRestore();
});
