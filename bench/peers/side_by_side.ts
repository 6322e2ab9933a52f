/** Times the ways of several libraries in turn, so that what else the machine does hits all alike. */
import { summarize, type Summary } from "../statistics.js";
import type { Library, Way } from "./library.js";

export interface Runner {
  library: Library;
  way: Way;
}

export interface SideBySideOptions {
  /** Milliseconds that all batches of all ways together may take, about. */
  budget: number;
  /** Milliseconds a batch takes at least. */
  batch?: number;
  /** CPU adapters: sleep through most of a known time, see Probe.sleep. */
  software: boolean;
}

export interface WayTiming extends Summary {
  batches: number;
  /** Runs in a batch. */
  runs: number;
}

const MIN_ROUNDS = 3;
const MAX_ROUNDS = 20;
/** More runs would fill the memory with recorded commands. */
const MAX_RUNS = 512;

/**
 * Milliseconds of one run of each: by the wall clock from the first run's record until `onSubmittedWorkDone` says that
 * the last has ended, nothing subtracted. All must have run before.
 */
export async function timeSideBySide(
  runners: readonly Runner[],
  { budget, batch = 10, software }: SideBySideOptions,
): Promise<WayTiming[]> {
  const entries = [];
  for (const runner of runners) {
    const { runs, took } = await calibrate(runner, batch);
    entries.push({ runner, runs, took, sleep: software ? 0.5 * took : 0, samples: [] as number[] });
  }
  const round = entries.reduce((sum, { took }) => sum + took, 0);
  const rounds = Math.max(MIN_ROUNDS, Math.min(MAX_ROUNDS, Math.round(budget / round)));
  for (let i = 0; i < rounds; i++)
    for (const entry of entries) {
      const { runner, runs, samples } = entry;
      let { time, overslept } = await batchTime(runner, runs, entry.sleep);
      for (; overslept; { time, overslept } = await batchTime(runner, runs, entry.sleep)) entry.sleep /= 2;
      samples.push(time / runs);
      if (software) entry.sleep = 0.8 * runs * Math.min(...samples);
    }
  return entries.map(({ runs, samples }) => ({ ...summarize(samples), batches: samples.length, runs }));
}

/** How many runs make a batch. */
async function calibrate(runner: Runner, batch: number): Promise<{ runs: number; took: number }> {
  let runs = 1;
  let took = (await batchTime(runner, runs)).time;
  while (took < batch && runs < MAX_RUNS) {
    runs = Math.min(MAX_RUNS, runs * Math.min(8, Math.max(2, Math.ceil((1.2 * batch) / took))));
    took = (await batchTime(runner, runs)).time;
  }
  return { runs, took };
}

interface BatchTime {
  time: number;
  /** The GPU may have been done before the sleep ended, so the time says nothing. */
  overslept: boolean;
}

async function batchTime({ library, way }: Runner, runs: number, sleep = 0): Promise<BatchTime> {
  await synchronize(library);
  const start = performance.now();
  for (let i = 0; i < runs; i++) await way.run();
  await library.flush();
  const rest = sleep - (performance.now() - start);
  const sleeps = rest >= 2;
  if (sleeps) await new Promise((resolve) => setTimeout(resolve, rest));
  const woke = performance.now();
  await synchronize(library);
  const end = performance.now();
  return { time: end - start, overslept: sleeps && end - woke < 0.02 * (end - start) };
}

export async function synchronize({ device, flush }: Library): Promise<void> {
  await flush();
  await device.queue.onSubmittedWorkDone();
}
