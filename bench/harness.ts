/** Times work on a device: batches of at least 10 ms, by the GPU's clock where that can be trusted. */
import { u32s, type Kernel } from "../kernels/wgsl.js";
import { Tensor } from "../src/tensor/tensor.js";
import { batchCount, Batches, wallTime, type MeasureBatch } from "./batches.js";
import type { Probe } from "./probe.js";
import { fma, WORKGROUP_SIZE } from "./roofline_kernels.js";
import { quantile, summarize, type Summary } from "./statistics.js";

export type Clock = "timestamps" | "wall";

export interface Timing extends Summary {
  /** Milliseconds of one run in every batch. */
  samples: number[];
  /** Runs in a batch. */
  runs: number;
  clock: Clock;
}

export interface TimeOptions {
  /** Milliseconds that all batches together may take, about. */
  budget?: number;
  /** Milliseconds a batch takes at least. */
  batch?: number;
}

/** More runs would fill the memory with recorded commands. */
const MAX_RUNS = 2048;
/** A single run this long is precise enough: two batches do. */
const LONG = 3000;

/** Milliseconds of work before a GPU's time is taken: one that idled, while results were checked, runs at a fraction of its clock
 *  (an H100 at a fifth, for a second). */
const WARM_UP = 1000;

/** A dispatch that does next to nothing. */
const empty: Kernel = {
  name: "empty",
  params: u32s("value"),
  bindings: () => ["write"],
  source: () => /* wgsl */ `
struct Params { value: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;
@compute @workgroup_size(1) fn main() { y[0] = params.value; }`,
};

export class Timer {
  /**
   * @param wait milliseconds from the record of an empty dispatch until its end is known; subtracted from wall times
   * @param clock what `time` reads
   */
  private constructor(
    readonly probe: Probe,
    readonly wait: Summary,
    readonly clock: Clock,
    private readonly defaults: Required<TimeOptions>,
  ) {}

  static async create(probe: Probe, { budget = 400, batch = 10 }: TimeOptions = {}): Promise<Timer> {
    const { device } = probe;
    const y = device.dummy("float32");
    const one = (): void => recordEmpty(y);
    one();
    await device.synchronize();
    const waits: number[] = [];
    for (let i = 0; i < 20; i++) waits.push(await wallTime(device, one));
    const wall = new Timer(probe, summarize(waits), "wall", { budget, batch });
    return (await timestampsWork(wall)) ? new Timer(probe, wall.wait, "timestamps", { budget, batch }) : wall;
  }

  /** Times `record`, which records one run of the work (compiled before, so call it once and synchronize first). */
  async time(record: () => void, options: TimeOptions = {}): Promise<Timing> {
    const { budget, batch } = { ...this.defaults, ...options };
    const measure: MeasureBatch = (runs) => this.#batch(record, runs);
    if (!this.probe.device.isSoftware) await warmUp(measure, batch);
    const batches = await Batches.calibrate(measure, { batch, maxRuns: MAX_RUNS });
    const { runs, took, samples } = batches;
    const count = took > LONG ? 2 : batchCount(budget, took);
    while (samples.length < count) await batches.add();
    return { ...summarize(samples), samples, runs, clock: this.clock };
  }

  async #batch(record: () => void, runs: number): Promise<number> {
    const all = (): void => {
      for (let i = 0; i < runs; i++) record();
    };
    if (this.clock === "timestamps") {
      const time = await this.probe.passTime(all);
      if (time !== null) return Math.max(time, 1e-3);
    }
    const time = await wallTime(this.probe.device, all);
    // Never nothing: a wait that was shorter than usual must not make the work free.
    return Math.max(time - this.wait.median, 0.05 * time);
  }
}

async function warmUp(measure: MeasureBatch, batch: number): Promise<void> {
  const end = performance.now() + WARM_UP;
  for (let runs = 1; performance.now() < end;) {
    if ((await measure(runs)) < batch) runs = Math.min(MAX_RUNS, 2 * runs);
  }
}

/** Records one empty dispatch that writes to `y`. */
export function recordEmpty(y: Tensor): void {
  y.device.run({ kernel: empty, variant: {}, values: { value: 1 }, buffers: [y], grid: [1] });
}

/** Dispatches that multiply and add for a while: 64 workgroups, in registers. */
const STEADY = { variant: { chains: 8, lanes: 1, form: "mad" } as const, groups: 64, values: { rounds: 64 } };
/** Long enough that the quantum of timestamps (browsers and Dawn round to 0.1 ms) does not matter. */
const STEADY_MS = 20;

/** Whether timestamps agree with the wall clock. Some drivers answer zero, or count in other units. */
async function timestampsWork({ probe, wait }: Timer): Promise<boolean> {
  if (!probe.hasTimestamps) return false;
  const { variant, groups, values } = STEADY;
  const y = Tensor.empty(probe.device, [groups * WORKGROUP_SIZE], "float32");
  try {
    let dispatches = 8;
    const record = (): void => {
      for (let i = 0; i < dispatches; i++)
        probe.device.run({ kernel: fma, variant, values, buffers: [y], grid: [groups], flops: 1e7 });
    };
    record();
    while ((await wallTime(probe.device, record)) < STEADY_MS && dispatches < 8192) dispatches *= 2;
    const ratios: number[] = [];
    for (let i = 0; i < 5; i++) {
      const wall = (await wallTime(probe.device, record)) - wait.median;
      ratios.push(((await probe.passTime(record)) ?? 0) / wall);
    }
    const ratio = quantile(ratios, 0.5);
    // A fast GPU idles between submits while the CPU records; on a busy machine neither time is steady.
    return ratio > 0.3 && ratio < 1.5;
  } finally {
    y.dispose();
  }
}
