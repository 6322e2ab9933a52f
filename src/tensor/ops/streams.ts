/** Launches kernels of kernels/streams.ts. */
import type { StreamVariant } from "../../../kernels/streams.js";
import { THREADS } from "../../../kernels/wgsl.js";
import type { Device, Run } from "../device.js";
import { threadGrid } from "./common.js";

/** Workgroups that keep all cores of a CPU adapter busy to the end, and turns after which a thread's own cost is forgotten. */
const WORKGROUPS = 16;
const TURNS = 256;

/** A run of which the spread over threads is left out. */
export type StreamRun<V extends StreamVariant> = Omit<Run<V>, "variant" | "grid"> & {
  variant: Omit<V, keyof StreamVariant>;
};

/** Runs a kernel for each of `quads` quads. */
export function runStream<V extends StreamVariant>(
  device: Device,
  quads: number,
  { variant, values, ...run }: StreamRun<V>,
): void {
  const lanes = device.streamLanes;
  const turns = lanes === 0 ? 1 : Math.max(1, Math.min(TURNS, Math.floor(quads / THREADS / WORKGROUPS)));
  device.run<V>({
    ...run,
    variant: { ...variant, lanes } as V,
    values: { ...values, quads, turns },
    grid: threadGrid(Math.ceil(quads / turns)),
  });
}
