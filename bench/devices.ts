/** Pictures per second on one device and on two, by the embedded model: what data parallelism brings on this machine. */
import { FlaxStableDiffusionPipeline } from "../src/pipelines/flax/flax_stable_diffusion.js";
import { replicate } from "../src/pipelines/flax/flax_params.js";
import "../src/schedulers/flax/index.js";
import type { Device } from "../src/tensor/device.js";
import { devices } from "../src/tensor/devices.js";
import { PRNGKey, split } from "../src/tensor/random_jax.js";
import { shard } from "../src/tensor/shard.js";
import type { FloatType } from "../test/cases/data.js";
import type { WholeResult } from "./results.js";

const PROMPT = "a red circle on a white background";
const STEPS = 10;
/** Pictures of a run: the same number on any number of devices. */
const PICTURES = 4;
const RUNS = 3;

/**
 * Draws the same batch on one device and split over two; the best of three runs after one that compiles. Two devices are two
 * adapters where there are, else two devices of one, which then share its cores.
 * @param model folder or URL of a Stable Diffusion repository
 */
export async function* measureDevices(model: string, dtype: FloatType): AsyncGenerator<WholeResult> {
  const opened = new Set<Device>();
  const [pipeline, params] = await FlaxStableDiffusionPipeline.fromPretrained(model, { dtype });
  try {
    for (const count of [1, 2]) {
      const list = await devices({ count });
      for (const device of list) opened.add(device);
      const replicated = await replicate(params, list);
      const ids = await shard(pipeline.prepareInputs(new Array<string>(PICTURES).fill(PROMPT)), list);
      const keys = split(PRNGKey(0), count);
      let seconds = Infinity;
      for (let run = 0; run <= RUNS; run++) {
        const start = performance.now();
        const { images } = await pipeline(ids, replicated, keys, STEPS, { jit: true, guidanceScale: 3 });
        await images.data();
        images.dispose();
        if (run > 0) seconds = Math.min(seconds, (performance.now() - start) / 1000);
      }
      ids.dispose();
      replicated.dispose();
      const adapters = new Set(list.map(({ adapterInfo }) => adapterInfo.description || adapterInfo.vendor)).size;
      const name =
        count === 1 ? "many devices: 1" : `many devices: ${count}, of ${adapters} adapter${adapters > 1 ? "s" : ""}`;
      yield { kind: "whole", name, dtype, value: PICTURES / seconds, unit: "pictures/s" };
    }
  } finally {
    params.dispose();
    for (const device of opened) device.destroy();
  }
}
