/** Pictures per second on one device and on two, by the embedded model: what data parallelism brings on this machine. */
import {
  devices,
  EMBEDDED_MODEL,
  FlaxStableDiffusionPipeline,
  PRNGKey,
  replicate,
  shard,
  split,
  type RepositorySource,
} from "../src/index.js";

const PROMPT = "a red circle on a white background";
const STEPS = 10;
/** Pictures of a run: the same number on any number of devices. */
const PICTURES = 4;
const RUNS = 3;

export interface DevicesResult {
  devices: number;
  adapters: string[];
  picturesPerSecond: number;
}

/**
 * Draws the same batch on one device and split over two, and prints the pictures per second of the best of three runs. Two
 * devices are two adapters where there are, else two devices of one, which then share its cores.
 * @param model a Stable Diffusion repository; a bundle must say where the embedded model lies
 */
export async function benchDevices(model: RepositorySource = EMBEDDED_MODEL): Promise<DevicesResult[]> {
  const results: DevicesResult[] = [];
  const [pipeline, params] = await FlaxStableDiffusionPipeline.fromPretrained(model);
  for (const count of [1, 2]) {
    const list = await devices({ count });
    const replicated = await replicate(params, list);
    const ids = await shard(pipeline.prepareInputs(new Array<string>(PICTURES).fill(PROMPT)), list);
    const keys = split(PRNGKey(0), count);
    let seconds = Infinity;
    // The first run compiles.
    for (let run = 0; run <= RUNS; run++) {
      const start = performance.now();
      const { images } = await pipeline(ids, replicated, keys, STEPS, { jit: true, guidanceScale: 3 });
      await images.data();
      images.dispose();
      if (run > 0) seconds = Math.min(seconds, (performance.now() - start) / 1000);
    }
    ids.dispose();
    replicated.dispose();
    const adapters = list.map(({ adapterInfo }) => adapterInfo.description || adapterInfo.vendor);
    results.push({ devices: count, adapters, picturesPerSecond: PICTURES / seconds });
  }
  params.dispose();
  for (const { devices: count, adapters, picturesPerSecond } of results)
    console.log(
      `${count} device${count > 1 ? "s" : ""}  ${picturesPerSecond.toFixed(2)} pictures/s  (${adapters.join(", ")})`,
    );
  const [one, two] = results.map(({ picturesPerSecond }) => picturesPerSecond);
  console.log(`two devices are ${(two / one).toFixed(2)} times as fast as one`);
  return results;
}
