/** Times work on a device: batches of at least 10 ms, by the GPU's clock where that can be trusted. */
import { u32s, type Kernel } from "../kernels/wgsl.js";
import { Tensor } from "../src/tensor/tensor.js";
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

const MIN_BATCHES = 3;
const MAX_BATCHES = 20;
/** More runs would fill the memory with recorded commands. */
const MAX_RUNS = 2048;
/** A single run this long is precise enough: two batches do. */
const LONG = 3000;

/** A dispatch that does next to nothing. */
export const empty: Kernel = {
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
    for (let i = 0; i < 20; i++) waits.push(await wallTime(probe, one));
    const wall = new Timer(probe, summarize(waits), "wall", { budget, batch });
    return (await timestampsWork(wall)) ? new Timer(probe, wall.wait, "timestamps", { budget, batch }) : wall;
  }

  /** Times `record`, which records one run of the work (compiled before, so call it once and synchronize first). */
  async time(record: () => void, options: TimeOptions = {}): Promise<Timing> {
    const { budget, batch } = { ...this.defaults, ...options };
    let runs = 1;
    let took = await this.#batch(record, runs);
    // The first guess counts on what short batches say, which is little; so it grows by 16 at most, and is checked.
    while (took < batch && runs < MAX_RUNS) {
      const factor = Math.min(16, Math.max(2, Math.ceil((1.2 * batch) / Math.max(took, 1e-3))));
      runs = Math.min(MAX_RUNS, runs * factor);
      took = await this.#batch(record, runs);
    }
    const wanted = Math.round(budget / took);
    const batches = took > LONG ? 2 : Math.max(MIN_BATCHES, Math.min(MAX_BATCHES, wanted));
    // The batch so far was waited for busily (see Probe.sleep), which CPU adapters feel: they run it again.
    const samples: number[] = [];
    let expected = 0.6 * took;
    while (samples.length < batches) {
      const next = await this.#batch(record, runs, expected);
      samples.push(next / runs);
      expected = 0.85 * runs * Math.min(...samples);
    }
    return { ...summarize(samples), samples, runs, clock: this.clock };
  }

  /** Milliseconds of `runs` runs, one after another. `expected`: how long that will take, if known. */
  async #batch(record: () => void, runs: number, expected = 0): Promise<number> {
    const all = (): void => {
      for (let i = 0; i < runs; i++) record();
    };
    if (this.clock === "timestamps") {
      const time = await this.probe.passTime(all, expected);
      if (time !== null) return Math.max(time, 1e-3);
    }
    // Never nothing: a wait that was shorter than usual must not make the work free.
    const wall = await wallTime(this.probe, all, expected);
    return Math.max(wall - this.wait.median, 0.05 * wall);
  }
}

/** Records one empty dispatch that writes to `y`. */
export function recordEmpty(y: Tensor): void {
  y.device.run({ kernel: empty, variant: {}, values: { value: 1 }, buffers: [y], grid: [1] });
}

/** Milliseconds to record, submit, and wait for the end. */
export async function wallTime(probe: Probe, record: () => void, expected = 0): Promise<number> {
  const { device } = probe;
  await device.synchronize();
  const start = performance.now();
  record();
  await probe.sleep(expected);
  await device.synchronize();
  return performance.now() - start;
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
    while ((await wallTime(probe, record)) < STEADY_MS && dispatches < 8192) dispatches *= 2;
    const ratios: number[] = [];
    for (let i = 0; i < 5; i++) {
      const wall = (await wallTime(probe, record)) - wait.median;
      ratios.push(((await probe.passTime(record)) ?? 0) / wall);
    }
    const ratio = quantile(ratios, 0.5);
    // A fast GPU idles between submits while the CPU records; on a busy machine neither time is steady.
    return ratio > 0.3 && ratio < 1.5;
  } finally {
    y.dispose();
  }
}
