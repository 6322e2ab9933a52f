/** Times the ways of several libraries in turn, so that what else the machine does hits all alike. */
import { batchCount, Batches, wallTime } from "../batches.js";
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
}

export interface WayTiming extends Summary {
  batches: number;
  /** Runs in a batch. */
  runs: number;
}

/** Milliseconds of a batch at least: in Node its end is known a millisecond late. */
const BATCH = 40;
/** More runs would fill the memory with recorded commands. */
const MAX_RUNS = 512;

/** What a way threw while it was timed. */
export interface WayFailure {
  error: unknown;
}

/** A runner, until it fails. */
interface Turn {
  runner: Runner;
  batches?: Batches;
  failure?: WayFailure;
}

/**
 * Milliseconds of one run of each: by the wall clock from the first run's record until `onSubmittedWorkDone` says that
 * the last has ended, nothing subtracted. All must have run before. Who fails has no further turns.
 */
export async function timeSideBySide(
  runners: readonly Runner[],
  { budget, batch = BATCH }: SideBySideOptions,
): Promise<(WayTiming | WayFailure)[]> {
  const turns = runners.map((runner): Turn => ({ runner }));
  await eachInTurn(turns, async (turn) => {
    const measure = (runs: number): Promise<number> => batchTime(turn.runner, runs);
    turn.batches = await Batches.calibrate(measure, { batch, maxRuns: MAX_RUNS });
  });
  const rounds = batchCount(
    budget,
    turns.reduce((sum, { batches, failure }) => sum + (failure ? 0 : batches!.took), 0),
  );
  for (let i = 0; i < rounds; i++) await eachInTurn(turns, ({ batches }) => batches!.add());
  return turns.map(({ batches, failure }) => failure ?? timingOf(batches!));
}

async function eachInTurn(turns: readonly Turn[], act: (turn: Turn) => Promise<void>): Promise<void> {
  for (const turn of turns.filter(({ failure }) => !failure)) {
    try {
      await act(turn);
    } catch (error) {
      turn.failure = { error };
      // What it had started before must not run beside the next one's batch.
      await synchronize(turn.runner.library).catch(() => undefined);
    }
  }
}

const timingOf = ({ runs, samples }: Batches): WayTiming => ({
  ...summarize(samples),
  batches: samples.length,
  runs,
});

function batchTime({ library, way }: Runner, runs: number): Promise<number> {
  const record = async (): Promise<void> => {
    for (let i = 0; i < runs; i++) await way.run();
  };
  return wallTime({ flush: library.flush, synchronize: () => synchronize(library) }, record);
}

export async function synchronize({ device, flush }: Library): Promise<void> {
  await flush();
  await device.queue.onSubmittedWorkDone();
}
