// The kernels of GPUs, run by a CPU adapter through a whole pipeline: they give the latents that its own give.
import { afterAll, expect, test } from "vitest";
import {
  DiffusionPipeline,
  EMBEDDED_MODEL,
  Generator,
  type StableDiffusionPipeline,
  type Tensor,
} from "../../src/index.js";
import * as gpu from "../support/gpu.js";
import { differences } from "../support/pipelines.js";

let loaded: StableDiffusionPipeline | undefined;
afterAll(() => loaded?.dispose());

async function latents(): Promise<Float32Array> {
  // A pipeline has a recorded step for its device's kernels.
  loaded?.dispose();
  loaded = await DiffusionPipeline.fromPretrained<StableDiffusionPipeline>(EMBEDDED_MODEL);
  loaded.setProgressBarConfig({ disable: true });
  const generator = new Generator("cpu").manualSeed(8);
  const options = { numInferenceSteps: 2, guidanceScale: 3, generator, outputType: "latent" } as const;
  const { images } = await loaded("a red circle on a white background", options);
  return gpu.take(images as Tensor);
}

test("the embedded model's latents by the kernels of GPUs", async () => {
  const device = await gpu.testDevice();
  const wanted = await latents();
  const names = new Set<string>();
  const original = device.run.bind(device);
  const run: typeof device.run = (call) => {
    const { by = "" } = call.variant as { by?: string };
    names.add(`${call.kernel.name} ${by}`.trim());
    original(call);
  };
  // Without matrices, so that every adapter runs the same.
  const kind = { isSoftware: false, streamLanes: 0, productUnits: { matrix: null, lanes: 0 }, run };
  const got = await gpu.pretending(kind, latents);
  for (const name of ["matmul workgroup", "conv2d workgroup", "flash attention", "group_norm block", "layer_norm team"])
    expect([...names]).toContain(name);
  // Sums in another order: a hundred-thousandth of the latents, which reach 5.
  expect(differences(got, wanted).worst).toBeLessThan(1e-4);
});
