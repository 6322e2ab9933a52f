import { Tensor } from "../../src/tensor/tensor.js";
import { Probe } from "../probe.js";
import type { Library, Way } from "./library.js";
import type { Problem } from "./problem.js";

/** This library, on the adapter's only device. */
export async function openOurs(adapter: GPUAdapter): Promise<Library> {
  const probe = await Probe.create(adapter);
  const { device, gpu } = probe;
  const ways = async ({ bench }: Problem): Promise<Way[]> => {
    const made: Tensor[] = [];
    const { run } = bench.prepare((values, shape) => {
      const tensor = Tensor.from(values, shape, { dtype: "float32", device });
      made.push(tensor);
      return tensor;
    }, "float32");
    const result = async (): Promise<ArrayLike<number>> => {
      const y = run();
      made.push(y);
      return y.data();
    };
    const dispose = async (): Promise<void> => {
      for (const tensor of made) tensor.dispose();
      device.trim();
      await device.flush();
    };
    return [{ name: bench.op, result, run: () => device.scope(() => void run()), dispose }];
  };
  return {
    name: "ours",
    version: "",
    device: gpu,
    ways,
    flush: () => device.flush(),
    close: () => device.destroy(),
  };
}
