/** Launches kernels of kernels/streams.ts. */
import type { StreamVariant } from "../../../kernels/streams.js";
import { THREADS } from "../../../kernels/wgsl.js";
import type { Device, Run } from "../device.js";
import { rowRuns, threadGrid } from "./common.js";

/** Workgroups that keep all cores of a CPU adapter busy to the end, and turns after which a thread's own cost is forgotten. */
const WORKGROUPS = 16;
const TURNS = 256;

/** What a quad that is loaded or stored costs, in the operations of a dispatch's budget: measured on SwiftShader. */
const COST = 60;

/** A run of which the spread over threads is left out. */
export type StreamRun<V extends StreamVariant> = Omit<Run<V>, "variant" | "grid"> & {
  variant: Omit<V, keyof StreamVariant>;
  /** Quads that are loaded and stored for each; by default one of each buffer. */
  accesses?: number;
};

/** Runs a kernel for each of `quads` quads. */
export function runStream<V extends StreamVariant>(
  device: Device,
  quads: number,
  { variant, values, accesses, ...run }: StreamRun<V>,
): void {
  const lanes = device.streamLanes;
  const cost = COST * (accesses ?? run.buffers.length);
  for (const [start, count] of rowRuns(device, quads, cost, THREADS)) {
    const turns = lanes === 0 ? 1 : Math.max(1, Math.min(TURNS, Math.floor(count / THREADS / WORKGROUPS)));
    device.run<V>({
      ...run,
      variant: { ...variant, lanes } as V,
      values: { ...values, quads, turns, stream_start: start, stream_end: start + count },
      grid: threadGrid(Math.ceil(count / turns)),
    });
  }
}
